"""Rules: when a series is stable and meets conditions, a plugin or a model is run over it.

Owns the rules, what they have done (`rule`, `rule_runs`), and the series that grow (`growing_series`). It may import
processing, jobs, archive, coordination and what lies below them.
"""

from neurdicom.rules.rule import Rule
from neurdicom.rules.service import RuleService

__all__ = ["Rule", "RuleService"]
