"""The vocabulary of facts for people."""

from __future__ import annotations

from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from rich.text import Text

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.vocabulary import FactEntry, Need, vocabulary
from bnlint.reporters.page.page import Page
from bnlint.reporters.page.style import Style

RECORDS: Final = {
    "norm": ("a normalisation call, or a layer that was not called", NormFacts),
    "model": ("the model as a whole", ModelFacts),
}
_TYPES: Final = {
    bool: ("true", "false"),
    int: ("whole number",),
    float: ("number",),
    str: ("name",),
    NoneType: ("null",),
}
_NEEDS_WIDTH: Final = 14


def render_vocabulary(style: Style) -> str:
    """All facts by record and family, with their types and what must be given to know them.

    Args:
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    for name, (meaning, record) in RECORDS.items():
        page.line(Text.assemble(("of: " + name, "bold"), f" · the facts of {meaning}"))
        family = ""
        for entry in vocabulary(record).values():
            if entry.fact.family != family:
                family = entry.fact.family
                page.blank()
                page.line(Text(family, style="bold"))
            _entry(page, entry)
        page.blank()
    page.line(
        Text("What a fact needs; without it the fact is unknown, and rules that read it do not run", style="bold")
    )
    for need in Need:
        page.line(need.value, label=f"  {_need(need)}", indent=_NEEDS_WIDTH)
    return page.text()


def _entry(page: Page, entry: FactEntry) -> None:
    needs = f" · needs {', '.join(map(_need, entry.fact.needs))}" if entry.fact.needs else ""
    page.line(Text.assemble((f"  {entry.name}", "green"), (f"  {type_text(entry.type)}{needs}", "dim")))
    page.line(entry.fact.doc, label="    ", indent=4)
    unsaid = [value for value in entry.fact.values if value not in entry.fact.doc]
    if unsaid:
        page.line(Text(f"values: {', '.join(entry.fact.values)}", style="dim"), label="    ", indent=4)


def _need(need: Need) -> str:
    return need.name.lower().replace("_", " ")


def type_text(annotation: Any) -> str:
    """The type of a fact in words, such as `whole number or null`; that it can be unknown goes without saying."""
    *head, last = _type_words(annotation)
    return f"{', '.join(head)} or {last}" if head else last


def _type_words(annotation: Any) -> list[str]:
    if annotation in _TYPES:
        return [*_TYPES[annotation]]
    origin = get_origin(annotation)
    if origin is Literal:
        return []
    if origin is frozenset:
        return ["set of names"]
    if origin is tuple:
        return ["list of whole numbers"]
    return [word for member in get_args(annotation) for word in _type_words(member)]
