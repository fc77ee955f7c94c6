"""A rule, ready to be applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from bnlint.facts.vocabulary import Need, vocabulary
from bnlint.report import Context, Severity
from bnlint.ruleset.conditions import Condition
from bnlint.ruleset.message import Message
from bnlint.ruleset.schema import RECORDS, Examples


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        code: Rule code, such as `BN501`.
        name: Rule name, such as `never-updated-statistics`.
        summary: One sentence for the list of rules.
        severity: How much a finding matters.
        contexts: In which contexts the rule makes sense.
        also_when_declared: What, once the user declares it, makes the rule sensible in any context.
        of: Which record it reads: `norm` for every normalisation call, `model` for the model.
        when: The condition; where it holds, there is a finding.
        options: The numbers that the condition and the texts refer to.
        message: What is said of a finding.
        why: Why it matters.
        fix: What to do.
        false_alarms: Where a finding is known to be no fault; empty where no such case is known.
        references: Papers and threads.
        examples: Models that show the rule.
        source: The file that the rule comes from, as messages name it.
    """

    code: str
    name: str
    summary: str
    severity: Severity
    contexts: tuple[Context, ...]
    also_when_declared: frozenset[Need]
    of: Literal["norm", "model"]
    when: Condition
    options: Mapping[str, int | float]
    message: Message
    why: str
    fix: str
    false_alarms: str
    references: tuple[str, ...]
    examples: Examples
    source: str

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that the rule reads: those of the condition in order of reading, then those of the message."""
        return tuple(dict.fromkeys((*self.when.facts, *self.message.facts)))

    def makes_sense(self, context: Context, at_hand: Collection[Need]) -> bool:
        """Whether the rule is to run.

        Args:
            context: What the model is about to do.
            at_hand: The sources of facts, among them what is declared of the training set-up.
        """
        return context in self.contexts or not self.also_when_declared.isdisjoint(at_hand)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What must be at hand to decide the rule on every record."""
        entries = vocabulary(RECORDS[self.of])
        needed = {need for fact in self.when.facts for need in entries[fact].fact.needs}
        return tuple(need for need in Need if need in needed)
