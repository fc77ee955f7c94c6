"""YAML rules, conditions over facts, findings."""

from bnlint.ruleset.apply import Outcome, apply_rules
from bnlint.ruleset.choose import choose, find_rule
from bnlint.ruleset.load import load_rules
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.schema import Example, Examples

__all__ = ["Example", "Examples", "Outcome", "Rule", "apply_rules", "choose", "find_rule", "load_rules"]
