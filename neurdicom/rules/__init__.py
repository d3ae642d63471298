"""Rules: when a series is stable and meets conditions, a plugin or a model is run over it.

Owns the rules, the log of their runs (`rule`, `rule_runs`), and the documents of growing series (`growing_series`). May
import processing, jobs, archive, coordination and what lies below them.
"""

from neurdicom.rules.rule import Rule
from neurdicom.rules.service import RuleService

__all__ = ["Rule", "RuleService"]
