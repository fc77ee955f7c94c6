"""What is wrong with a rule file, in words: to the sentences about any file it adds those about facts and operators."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bnlint.errors import UsageError
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.ruleset.complaint import Complaint, path_of
from bnlint.ruleset.conditions import OPERATORS
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.schema import CONNECTIVES, RECORDS, RULE_FILES, Sort, sort_of
from bnlint.ruleset.source import Source

_PATTERNS = {
    "code": "it is two capital letters or more and three digits, such as ACME001",
    "name": "it is lower-case words with hyphens, such as never-updated-statistics",
    "options": "option names are lower-case words with underscores",
}


def complain_of_rule(source: Source, of: str, error: msgspec.ValidationError) -> UsageError:
    """The error for a person.

    Args:
        source: The file, whose `of` is known to be right.
        of: The record that the rule reads.
        error: What msgspec found.
    """
    kind = RULE_FILES[of]
    return _RuleComplaint(source, kind, path_of(source, kind, error), of).sentence(error)


@dataclass(frozen=True)
class _RuleComplaint(Complaint):
    of: str

    @property
    def subject(self) -> str:
        return next((key for key in reversed(self.path) if isinstance(key, str) and key not in OPERATORS), "this file")

    @property
    def _in_condition(self) -> bool:
        return self.path[:1] == ("when",)

    @property
    def _fact(self) -> FactEntry | None:
        """The fact whose operators the path has reached, if any."""
        return vocabulary(RECORDS[self.of]).get(str(self.path[-1])) if self._in_condition else None

    def unknown_key(self, key: str) -> UsageError:
        if not self._in_condition:
            return super().unknown_key(key)
        here = (*self.path, key)
        if self._fact is not None:
            return self.source.error(here, *_unknown_operator(key, self._fact))
        for record, facts in RECORDS.items():
            if key in vocabulary(facts):
                return self.source.error(here, f'"{key}" is a fact of: {record}, and this rule is of: {self.of}.')
        hint = did_you_mean(key, [*vocabulary(RECORDS[self.of]), *CONNECTIVES]) or "`bnlint facts` lists them."
        return self.source.error(here, f'unknown fact "{key}";', hint)

    def wrong_type(self, expected: str, got: str) -> UsageError:
        if self._fact is None:
            return super().wrong_type(expected, got)
        sort = sort_of(self._fact)
        hint = f"use {alternatives(sort.operators)}." if sort.operators else "it takes no operators."
        return self.error(f'"{self._fact.name}" is {sort.description}, which {got} does not suit;', hint)

    def other(self, problem: str) -> str:
        key = str(self.path[-1]) if self.path else ""
        if "matching regex" in problem and "$[a-z]" in problem:
            return f'"{key}" must be a number, or an option of the rule such as $minimum.'
        if "matching regex" in problem and key in _PATTERNS:
            return f'"{key}" has the wrong form: {_PATTERNS[key]}.'
        return super().other(problem)


def _unknown_operator(key: str, fact: FactEntry) -> tuple[str, str]:
    sort = sort_of(fact)
    usable = f"use {alternatives(sort.operators)}."
    if any(key in other.operators for other in Sort):
        return f'the operator "{key}" does not suit "{fact.name}", which is {sort.description};', usable
    return f'unknown operator "{key}" for "{fact.name}";', did_you_mean(key, sort.operators) or usable
