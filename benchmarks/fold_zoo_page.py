"""The page on which a sweep of folding over public models is kept."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from benchmarks.resident import machine, today


@dataclass(frozen=True)
class Fused:
    """BatchNorm layers that `torch.fx.experimental.optimization.fuse` removed; `error` names what stopped it."""

    removed: int = 0
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Row:
    """What was planned for one model.

    Attributes:
        name: Name within timm.
        family: Package and module.
        layers: BatchNorm layers in its module tree, told by class.
        folded: Those of them that bnlint's plan folds.
        causes: Why the others stay, with the number of layers.
        seconds: Seconds on the clock that planning took, tracing included; 0 where it failed.
        fused: What `fuse` did.
        note: What failed, or is remarkable.
    """

    name: str
    family: str
    layers: int = 0
    folded: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    fused: Fused = field(default_factory=Fused)
    note: str = ""


def summary(rows: Sequence[Row]) -> list[str]:
    """The shares of bnlint and of `fuse`, and the layers that stay by reason, as lines of markdown."""
    layers = sum(row.layers for row in rows)
    folded = sum(row.folded for row in rows)
    removed = sum(row.fused.removed for row in rows)
    errors = Counter(row.fused.error for row in rows if row.fused.error)
    words = ", ".join(f"{error} {count}" for error, count in errors.most_common())
    return [
        "| | BatchNorm layers folded | share | models folded whole | models with none folded "
        "| seconds: median, worst |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| **bnlint** | {folded:,} of {layers:,} | {_share(folded, layers)} | "
        f"{sum(row.folded == row.layers for row in rows)} of {len(rows)} | {sum(not row.folded for row in rows)} | "
        f"{_middle_and_worst([row.seconds for row in rows if row.seconds])} |",
        f"| `fuse` of torch.fx | {removed:,} of {layers:,} | {_share(removed, layers)} | "
        f"{sum(row.fused.removed == row.layers for row in rows)} of {len(rows)} | "
        f"{sum(not row.fused.removed for row in rows)} | "
        f"{_middle_and_worst([row.fused.seconds for row in rows if not row.fused.error])} |",
        "",
        f"`fuse` failed on {errors.total()} of {len(rows)} models ({words or 'none'}): 0 layers removed there.",
        f"`fuse` removed more than bnlint folds on {sum(row.fused.removed > row.folded for row in rows)} models.",
        "",
        *_reasons(rows, layers, folded),
        *[f"- `{row.name}` ({row.family}): {row.note}" for row in rows if row.note],
    ]


def page(rows: Sequence[Row]) -> str:
    """The whole page: date, machine, how to make it, the summary, and a row for each model."""
    intro = f"""# Folding the BatchNorm layers of timm

{today()}, {machine()}, timm {version("timm")}. Nothing kept other programs from running on the machine meanwhile.
Made by `python -m benchmarks.fold_zoo --write benchmarks/results/fold_zoo.md` (`make zoo`).

Every timm model with a BatchNorm layer ({len(rows)}), in evaluation mode, without weights: built on the meta device, or
on the CPU with each parameter moved to the meta device as it is registered. Inputs are those that bnlint guesses. A
layer is any module of a BatchNorm class in the module tree, also where the forward never calls it. *Folded* is what
`bnlint.plan` says: nothing is computed here. Signs of scales are not known without weights, so nothing is folded
through a maximum.

Beside it, in the same run, `torch.fx.experimental.optimization.fuse` with its own defaults: BatchNorm layers that its
graph calls before and not after. Seconds are those of one call on the clock, tracing included, for `fuse` of the models
that it can do.

"""
    head = "\n\n## Every model\n\n| model | family | layers | bnlint | fuse | why not (bnlint) |\n"
    table = "\n".join(map(_table_row, rows))
    rule = "| --- | --- | --- | --- | --- | --- |\n"
    return intro + "\n".join(summary(rows)) + head + rule + table + "\n"


def _reasons(rows: Sequence[Row], layers: int, folded: int) -> list[str]:
    causes: Counter[str] = Counter()
    models: Counter[str] = Counter()
    families: dict[str, dict[str, None]] = {}
    for row in rows:
        causes.update(row.causes)
        models.update(row.causes.keys())
        for cause in row.causes:
            families.setdefault(cause, {})[row.family.removeprefix("timm ")] = None
    total = folded + causes.total()
    lines = ["| what becomes of a layer | layers | share | models | families |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| folded | {folded:,} | {_share(folded, layers)} | {sum(bool(row.folded) for row in rows)} | |"]
    for cause, count in causes.most_common():
        names = list(families[cause])
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines += [f"| stays: {cause} | {count:,} | {_share(count, layers)} | {models[cause]} | {listed} |"]
    return [*lines, f"| **all** | {total:,} | {_share(total, layers)} | {len(rows)} | |", ""]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "–"


def _middle_and_worst(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}, {max(values):.2f}" if values else "–"


def _table_row(row: Row) -> str:
    why = "; ".join(f"{count} × {cause}" for cause, count in Counter(row.causes).most_common())
    other = f"{row.fused.removed} ({row.fused.error})" if row.fused.error else str(row.fused.removed)
    return f"| {row.name} | {row.family.removeprefix('timm ')} | {row.layers} | {row.folded} | {other} | {why} |"
