"""What was asked for by name, and would not run or stayed open: "could not look" must not open a gate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from bnlint.facts.vocabulary import Need
from bnlint.report import Context, NotRun
from bnlint.ruleset.adjust import Adjusted
from bnlint.ruleset.find import matching
from bnlint.ruleset.nearest import alternatives
from bnlint.ruleset.rule import Rule
from bnlint.ruleset.settings import Layer


def undecided(not_run: Iterable[NotRun], selected: Collection[str], required: Collection[str]) -> Iterator[str]:
    """A sentence for each remedy that rules of a gate would need.

    Args:
        not_run: The rules that could not be decided.
        selected: What the user selected; only codes and names in full count, as a beginning of codes is no promise.
        required: Codes of the rules that have to be decided.
    """
    named = {word.upper() for word in selected}
    by_remedy: dict[tuple[str, str], dict[str, None]] = {}
    for item in not_run:
        verb = "selected" if {item.code, item.name.upper()} & named else "required" if item.code in required else ""
        if verb:
            by_remedy.setdefault((verb, item.remedy), {})[item.code] = None
    for (verb, remedy), codes in by_remedy.items():
        was = "was" if len(codes) == 1 else "were"
        yield f"{', '.join(codes)} {was} {verb} but could not be decided: {remedy}."


def refuse_dropped(requiring: Layer, rules: Adjusted, context: Context, at_hand: Collection[Need]) -> None:
    """Refuse to require what would not run: nobody would be told that it was never decided.

    Args:
        requiring: The settings of the user that require rules.
        rules: The rules after all settings.
        context: What the model is about to do.
        at_hand: What is declared of the training set-up.

    Raises:
        UsageError: If a rule that is named in full, or every rule that a beginning of codes means, is ignored, not
            selected, or not for the context.
    """
    for index, word in enumerate(requiring.settings.require):
        meant = matching(rules.rules, word)
        meant = tuple(rule for rule in meant if word.casefold() in {rule.code.casefold(), rule.name}) or meant
        chosen = [rule for rule in meant if rule.code in rules.chosen]
        if any(rule.makes_sense(context, at_hand) for rule in chosen):
            continue
        codes, are = _subject(chosen or meant)
        problem = f"{codes} {are} required, but ignored or not selected."
        hint = "Select what is required, or require something else."
        if chosen:
            others, for_others = contexts_of(chosen)
            problem = f"{codes} {are} required, but would not run for {context}: {for_others}."
            hint = f"Give `--context {others}`, or require something else."
        raise requiring.source.error(("require", index), problem, hint)


def contexts_of(rules: Sequence[Rule]) -> tuple[str, str]:
    """What rules are for.

    Args:
        rules: At least one.

    Returns:
        The contexts, as `training`; and the same as a clause, `BN107 is for training`.
    """
    codes, are = _subject(rules)
    contexts = alternatives(sorted({context.value for rule in rules for context in rule.contexts}))
    return contexts, f"{codes} {are} for {contexts}"


def _subject(rules: Sequence[Rule]) -> tuple[str, str]:
    """The codes of rules as the subject of a sentence, and its verb."""
    return alternatives([rule.code for rule in rules], "and"), "is" if len(rules) == 1 else "are"
