"""YAML rules, conditions over facts, findings."""

from bnlint.ruleset.adjust import Adjusted, adjust
from bnlint.ruleset.apply import Outcome, apply_rules
from bnlint.ruleset.find import find_rule
from bnlint.ruleset.load import load_rules
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.schema import Example, Examples

__all__ = ["Adjusted", "Example", "Examples", "Outcome", "Rule", "adjust", "apply_rules", "find_rule", "load_rules"]
