"""Rules: when a series is stable and meets conditions, a plugin or a model is run over it."""

from neurdicom.rules.rule import Rule
from neurdicom.rules.service import RuleService

__all__ = ["Rule", "RuleService"]
