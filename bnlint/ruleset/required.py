"""What was asked for by name and stayed open: "could not look" must not open a gate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from bnlint.report import NotRun


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
