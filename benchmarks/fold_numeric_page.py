"""The page on which the numeric sweep of folding over public models is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from benchmarks.resident import machine, today

WRONG = 1e-8
"""Relative error in float64 from which a fold counts as wrong; rounding stays orders of magnitude below."""


@dataclass(frozen=True)
class Row:
    """What folding did to the outputs of one model.

    Attributes:
        name: Name within its package.
        family: Package and module.
        side: Height and width of the images in pixels.
        layers: BatchNorm layers in its module tree.
        folded: Those of them that were folded.
        exact: Relative error of the outputs, folded and run in float64.
        worst_layer: Largest relative error at the output of a folded layer in float64, of bnlint's own proof.
        single: Relative error of the outputs, folded and run in float32, against the original in float64.
        unfolded: The same of the original in float32.
        proved: Whether bnlint's own proof holds, in both data types.
        seconds: Seconds on the clock, all runs together.
        note: What failed.
    """

    name: str
    family: str
    side: int
    layers: int = 0
    folded: int = 0
    exact: float = float("inf")
    worst_layer: float = float("inf")
    single: float = float("inf")
    unfolded: float = float("inf")
    proved: bool = False
    seconds: float = 0.0
    note: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the folded model computes something else than the original, or could not be had."""
        return not (self.exact <= WRONG and self.worst_layer <= WRONG)


def summary(rows: Sequence[Row]) -> list[str]:
    """The number of wrong folds and the worst errors, as lines of markdown."""
    layers, folded = sum(row.layers for row in rows), sum(row.folded for row in rows)
    wrong = [row.name for row in rows if row.is_wrong]
    exact, layer = max(rows, key=lambda row: row.exact), max(rows, key=lambda row: row.worst_layer)
    single = max(rows, key=lambda row: row.single)
    return [
        f"- **{len(rows)} models, {folded:,} of {layers:,} BatchNorm layers folded "
        f"({100 * folded / max(layers, 1):.1f} %), {len(wrong)} wrong**{': ' if wrong else ''}{', '.join(wrong)}",
        f"- worst outputs in float64: {exact.exact:.1e} ({exact.name})",
        f"- worst output of a folded layer in float64: {layer.worst_layer:.1e} ({layer.name})",
        f"- worst outputs in float32: {single.single:.1e} ({single.name}), where the unfolded model in float32 is "
        f"{single.unfolded:.1e} away",
        f"- bnlint's own proof fails on {sum(not row.proved for row in rows)} of them",
        *[f"- `{row.name}`: {row.note}" for row in rows if row.note],
    ]


def page(rows: Sequence[Row]) -> str:
    """The whole page: date, machine, how to make it, the summary, and a row for each model."""
    intro = f"""# Folded models compute what the originals compute

{today()}, {machine()}, timm {version("timm")}, torchvision {version("torchvision")}.
Made by `python -m benchmarks.fold_numeric --write benchmarks/results/fold_numeric.md` (`make zoo`).

The smallest model of each family of timm that has BatchNorm layers, and every classification model of torchvision that
has them and fewer than 100 million parameters, in evaluation mode. Weights, statistics and affines are random, and a
quarter of the gains is negative, so that nothing is folded through a maximum. Two images in the smallest usual size
that the model accepts.

Errors are the largest difference relative to the largest value. Outputs are compared on images that bnlint did not see,
against the original in float64. Since random weights let little of what happens early reach the output, the output of
every folded layer is compared too, by bnlint's own proof. A model is *wrong* where either error in float64 is above
{WRONG:.0e}, or where it could not be folded at all.

"""
    head = (
        "\n\n## Every model\n\n| model | family | pixels | folded | outputs, float64 | worst layer, float64 | outputs, "
        "float32 | unfolded, float32 | proof | seconds |\n"
    )
    rule = "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    return intro + "\n".join(summary(rows)) + head + rule + "\n".join(map(_line, rows)) + "\n"


def _line(row: Row) -> str:
    errors = " | ".join(f"{error:.1e}" for error in (row.exact, row.worst_layer, row.single, row.unfolded))
    verdict = "holds" if row.proved else "**fails**"
    return (
        f"| {row.name} | {row.family} | {row.side} | {row.folded} of {row.layers} | {errors} | {verdict} | "
        f"{row.seconds:.1f} |"
    )
