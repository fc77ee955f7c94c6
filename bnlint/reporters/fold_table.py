"""The table of a fold for people: what went where, what stays and why, how far the outputs moved; and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from rich.text import Text

from bnlint.folding.record import FoldedLayer, FoldRecord, KeptLayer, ProofRecord
from bnlint.reporters.page.grouping import summarise
from bnlint.reporters.page.page import Page
from bnlint.reporters.page.style import Style, counted, layer_name
from bnlint.text import printable

ROWS_SHOWN: Final = 12
LINES_OF_LAYERS: Final = 2
NARROWEST_LAYERS: Final = 20
WIDEST_THROUGH: Final = 24

Renderer = Callable[[FoldRecord, Style], str]


def render(record: FoldRecord, style: Style) -> str:
    """The record as a table in which layers with the same fate stand in one row.

    Args:
        record: What was folded, or planned.
        style: Width and colour.

    Returns:
        Text with a line break at its end. Names in a row are relative to the parent of its layer where they can be.
    """
    return _render(record, style, everything=False)


def render_all(record: FoldRecord, style: Style) -> str:
    """The same with a row for every layer."""
    return _render(record, style, everything=True)


def render_json(record: FoldRecord, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The record itself, after `bnlint-fold-v1`."""
    return record.encode()


FORMATS: Final[Mapping[str, Renderer]] = {"full": render, "json": render_json}
"""The formats by the name that `--format` takes."""


def failure(record: FoldRecord) -> str:
    """One sentence on a proof that failed, which names the worst layer."""
    proof = record.proof
    if proof is None:
        return "The fold was not proved."
    where = f", worst at {layer_name(proof.worst)}" if proof.worst else ""
    return f"The proof failed: {_difference(proof)}{where}."


def _render(record: FoldRecord, style: Style, *, everything: bool) -> str:
    page = Page(style)
    _header(page, record)
    if record.folds:
        page.blank()
        _folds(page, record, style.width, everything)
    if record.kept:
        page.blank()
        _kept(page, record.kept, style.width, everything)
    page.blank()
    page.line(_verdict(record))
    return page.text()


def _header(page: Page, record: FoldRecord) -> None:
    number = len(record.folds) + len(record.kept)
    first = Text(printable(record.target), style="bold")
    first.append(f" · {printable(record.model)} · {counted(number, 'BatchNorm layer')}", style="not bold")
    page.line(first)
    if record.proof is not None:
        assumed = " (assumed, see --input)" if record.proof.inputs_assumed else ""
        page.line(Text(f"proof run with {printable('; '.join(record.proof.inputs))}{assumed}", style="dim"))
    for note in record.notes:
        page.line(Text(printable(note), style="dim"), label="  note")


def _folds(page: Page, record: FoldRecord, width: int, everything: bool) -> None:
    what = "folded" if record.proof is not None else "can be folded"
    page.line(Text(f"{counted(len(record.folds), 'layer')} {what}", style="bold"))
    if everything:
        _each_fold(page, record.folds)
        return
    found: dict[tuple[str, ...], list[FoldedLayer]] = {}
    for fold in record.folds:
        relative = (_relative(name, fold.layer) for name in (fold.layer, *fold.into, "", *fold.through))
        found.setdefault(tuple(relative), []).append(fold)
    rows = list(found.values())
    shown = rows[:ROWS_SHOWN]
    widest = (width - 12) // 2
    columns = {
        "into": [_cut(summarise([name for fold in row for name in fold.into], widest), widest) for row in shown],
        "through": [_cut(_through(row[0]), WIDEST_THROUGH) for row in shown],
        "error": [_worst(row) for row in shown],
    }
    used = {name: cells for name, cells in columns.items() if any(cells)}
    others = sum(2 + max(len(name), *map(len, cells)) for name, cells in used.items())
    room = LINES_OF_LAYERS * max(width - 4 - others, NARROWEST_LAYERS)
    layers = [summarise([fold.layer for fold in row], room) for row in shown]
    page.table(["layers", *used], list(zip(layers, *used.values(), strict=True)))
    _rest(page, sum(map(len, rows[len(shown) :])))


def _each_fold(page: Page, folds: Sequence[FoldedLayer]) -> None:
    """A line for each, never wrapped, for grep."""
    widest = max(len(layer_name(fold.layer)) for fold in folds)
    for fold in folds:
        way = f" through {', '.join(fold.through)}" if fold.through else ""
        error = f"  {_worst([fold])}".rstrip()
        page.verbatim(f"{layer_name(fold.layer):<{widest}}  into {', '.join(fold.into)}{way}{error}")


def _kept(page: Page, kept: Sequence[KeptLayer], width: int, everything: bool) -> None:
    page.line(Text(f"{counted(len(kept), 'layer')} kept", style="bold"))
    found: dict[str, list[KeptLayer]] = {}
    for item in kept:
        found.setdefault(item.layer if everything else item.cause, []).append(item)
    rows = list(found.values())
    shown = rows if everything else rows[:ROWS_SHOWN]
    for row in shown:
        names = printable(summarise([item.layer for item in row], LINES_OF_LAYERS * (width - 2)))
        count = f" ({len(row)})" if len(row) > 1 else ""
        page.line(Text.assemble((names, "green"), (count, "dim")), label="  ", indent=2)
        example = "" if len({item.reason for item in row}) == 1 else "for example, "
        page.line(Text(printable(f"{example}{row[0].reason}")), label="    ", indent=4)
    _rest(page, sum(map(len, rows[len(shown) :])))


def _rest(page: Page, left: int) -> None:
    if left:
        page.line(Text(f"  and {counted(left, 'more layer')}: --all shows every one", style="dim"))


def _verdict(record: FoldRecord) -> Text:
    number, total = len(record.folds), len(record.folds) + len(record.kept)
    proof = record.proof
    if proof is None:
        return Text(f"{number} of {total} layers can be folded · nothing was written", style="bold")
    if not proof.verified:
        return Text(f"{failure(record)} Nothing was written.", style="bold red")
    verdict = Text("verified", style="bold green")
    verdict.append(f": {_difference(proof)} · {number} of {total} layers folded", style="not bold default")
    if record.folded is not None:
        verdict.append(f" · written to {printable(record.folded.name)}", style="not bold default")
    return verdict


def _difference(proof: ProofRecord) -> str:
    in_type, exact = _number(proof.max_error), _number(proof.algebra_error)
    return f"the outputs differ by {in_type} of their size (tolerance {proof.tolerance:.0e}), in float64 by {exact}"


def _number(error: float | None) -> str:
    if error is None or not math.isfinite(error):
        return "values that are missing or not finite"
    return f"{error:.1e}"


def _worst(folds: Iterable[FoldedLayer]) -> str:
    errors = [fold.error for fold in folds if fold.error is not None]
    return _number(max(errors)) if errors else ""


def _through(fold: FoldedLayer) -> str:
    return ", ".join(dict.fromkeys(_relative(name, fold.layer) for name in fold.through))


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _relative(name: str, layer: str) -> str:
    """The name of a module as seen from the parent of a layer."""
    parent = layer.rpartition(".")[0]
    return name.removeprefix(f"{parent}.") if parent else name
