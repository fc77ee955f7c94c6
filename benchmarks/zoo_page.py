"""The page on which a sweep over public models is kept."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from benchmarks.public_models import compiled_operators_load
from benchmarks.resident import MEBIBYTE, machine, today
from benchmarks.tracers import Cost, Look
from bnlint.tracing.kinds import How

_LONGEST_NOTE = 160
_COMPILED = {True: "with", False: "without"}


@dataclass(frozen=True)
class Row:
    """What was seen of one model.

    Attributes:
        name: Name within its package.
        family: Package and module or group.
        layers: BatchNorm layers in its module tree.
        seen: Those of them that bnlint's trace calls.
        norms: Normalisation layers of all kinds in its module tree.
        norms_seen: Those of them that bnlint's trace calls.
        how: How bnlint traced it; empty where it was not traced.
        valid: Whether `graph.lint()` passes.
        note: The reason of a partial trace, or what else is remarkable.
        cost: What bnlint's trace took.
        symbolic: What `torch.fx.symbolic_trace` saw.
        export: What `torch.export` saw; `None` where it was not tried.
    """

    name: str
    family: str
    layers: int = 0
    seen: int = 0
    norms: int = 0
    norms_seen: int = 0
    how: str = ""
    valid: bool = False
    note: str = ""
    cost: Cost | None = None
    symbolic: Look | None = None
    export: Look | None = None

    @property
    def package(self) -> str:
        """`timm` or `torchvision`."""
        return self.family.split()[0]

    @property
    def whole(self) -> bool:
        """Whether a whole run was recorded and every BatchNorm layer is called in it."""
        return self.how in (How.RECORDED, How.RECORDED_WITH_VALUES) and self.seen == self.layers


def summary(rows: Sequence[Row]) -> list[str]:
    """The totals of each package, and every model that was not recorded whole, as lines of markdown."""
    lines = [
        "| | models seen whole | BatchNorm layers | all normalisation layers | seconds: median, worst | "
        "CPU seconds: median, worst | peak memory added: median, worst |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for package in dict.fromkeys(row.package for row in rows):
        group = [row for row in rows if row.package == package]
        label = f"{package} {version(package)}"
        lines += [_of_bnlint(label, group)]
        lines += [line for name in ("symbolic", "export") for line in _of_other(label, name, group)]
    lines += [
        "",
        *_on_meta_tensors(rows),
        f"Graphs that pass `graph.lint()`: {sum(row.valid for row in rows)} of {len(rows)}.",
        "",
    ]
    lines += [f"- `{row.name}` ({row.family}): {_words(row)}" for row in rows if row.note or not row.whole]
    return lines


def page(rows: Sequence[Row]) -> str:
    """The whole page: date, machine, how to make it, the summary, and a row for each model."""
    intro = f"""# Tracing public models

{today()}, {machine()}, timm {version("timm")}, torchvision {version("torchvision")}
{_COMPILED[compiled_operators_load()]} its compiled operators. Nothing kept other programs from
running on the machine meanwhile. Made by `make zoo`.

Every timm model with a BatchNorm and every torchvision classification, segmentation, detection, video and
optical-flow model, in evaluation mode, without weights: built on the meta device, or on the CPU with each parameter
moved to the meta device as it is registered. Inputs are those that bnlint guesses. Seconds are those of tracing alone,
once for each model, in one warm process; *peak memory added* is the resident memory above where the process stood. A
model is *seen whole* if its whole run was recorded and every BatchNorm layer is called in it.

Beside it, in the same run: `torch.fx.symbolic_trace` with its own defaults on every model, and non-strict
`torch.export` on {sum(row.export is not None for row in rows)} of the models, with a limit of 60 s, first on the meta
device and, where that failed, with real weights. Without `--export all`, those are the first of each family, by name,
that has a row below. Their seconds and ratios are those of the models on which they succeeded.

"""
    head = (
        "| model | family | BatchNorm | all norms | how | seconds | CPU s | MiB added | lint | fx: layers, s | "
        "export: layers, s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    table = "\n".join(map(_table_row, rows))
    return intro + "\n".join(summary(rows)) + "\n\n## Every model\n\n" + head + table + "\n"


def _of_bnlint(label: str, rows: Sequence[Row]) -> str:
    costs = [row.cost for row in rows if row.cost is not None]
    cells = [
        f"{label}: **bnlint**",
        f"{sum(row.whole for row in rows)} of {len(rows)}",
        f"{sum(row.seen for row in rows):,} of {sum(row.layers for row in rows):,}",
        f"{sum(row.norms_seen for row in rows):,} of {sum(row.norms for row in rows):,}",
        _middle_and_worst([cost.wall for cost in costs]),
        _middle_and_worst([cost.cpu for cost in costs]),
        _middle_and_worst([cost.grown / MEBIBYTE for cost in costs], ".1f", " MiB"),
    ]
    return f"| {' | '.join(cells)} |"


def _on_meta_tensors(rows: Sequence[Row]) -> list[str]:
    """Seconds of the models that needed no values; a run with values computes, and says more of the machine."""
    runs = [(row.name, row.cost) for row in rows if row.how == How.RECORDED and row.cost is not None]
    if not runs:
        return []
    slowest, slowest_cost = max(runs, key=lambda run: run[1].wall)
    busiest, busiest_cost = max(runs, key=lambda run: run[1].cpu)
    text = (
        f"Recorded on meta tensors: {len(runs)} models, {statistics.median(cost.wall for _, cost in runs):.2f} s at "
        f"the median, {slowest_cost.wall:.2f} s at worst (`{slowest}`, {slowest_cost.cpu:.2f} s of CPU), "
        f"{busiest_cost.cpu:.2f} s of CPU at worst (`{busiest}`)."
    )
    return [text, ""]


def _of_other(label: str, name: str, rows: Sequence[Row]) -> Iterator[str]:
    """A row for another tracer, over the models on which it was tried, with bnlint's time on the same ones."""
    tried = [(row, look) for row in rows if (look := getattr(row, name)) is not None]
    if not tried:
        return
    title = {"symbolic": "`torch.fx.symbolic_trace`", "export": "`torch.export`"}[name]
    whole = sum(not look.error and look.seen == row.layers for row, look in tried)
    done = [(row.cost.wall, look.wall) for row, look in tried if row.cost is not None and not look.error]
    ratio = f"; {statistics.median(other / own for own, other in done):.2f} × bnlint's at the median" if done else ""
    failures = Counter(look.error for _, look in tried if look.error)
    errors = ", ".join(f"{error} {count}" for error, count in failures.most_common())
    cells = [
        f"{label}: {title}" + (f"; failed on {failures.total()}: {errors}" if errors else ""),
        f"{whole} of {len(tried)}",
        f"{sum(look.seen for _, look in tried):,} of {sum(row.layers for row, _ in tried):,}",
        "",
        f"{_middle_and_worst([wall for _, wall in done])}{ratio}",
        "",
        "",
    ]
    yield f"| {' | '.join(cells)} |"


def _middle_and_worst(values: Sequence[float], form: str = ".2f", unit: str = "") -> str:
    return f"{statistics.median(values):{form}}{unit}, {max(values):{form}}{unit}" if values else "–"


def _words(row: Row) -> str:
    seen = f"{row.seen} of {row.layers} BatchNorm layers, {row.how or 'not traced'}"
    note = row.note if len(row.note) <= _LONGEST_NOTE else f"{row.note[:_LONGEST_NOTE]}…"
    return f"{seen}; {note}" if note else seen


def _table_row(row: Row) -> str:
    cost = row.cost
    cells = [
        row.name,
        row.family,
        f"{row.seen}/{row.layers}",
        f"{row.norms_seen}/{row.norms}",
        row.how,
        f"{cost.wall:.2f}" if cost else "",
        f"{cost.cpu:.2f}" if cost else "",
        f"{cost.grown / MEBIBYTE:.1f}" if cost else "",
        "passes" if row.valid else "fails",
        _look_words(row.symbolic),
        _look_words(row.export),
    ]
    return f"| {' | '.join(cells)} |"


def _look_words(look: Look | None) -> str:
    if look is None:
        return ""
    return f"{look.error}, {look.wall:.2f}" if look.error else f"{look.seen}, {look.wall:.2f}"
