"""The page on which run times of folded models are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from benchmarks.resident import machine, today
from benchmarks.stopwatch import ROUNDS

VARIANTS = ("eager", "eager folded", "fuse()", "torch.compile", "torch.compile folded")


@dataclass(frozen=True)
class Measured:
    """Run times of one model in one setting.

    Attributes:
        model: Its name.
        setting: Data type, layout and batch, in words.
        left: BatchNorm layers that bnlint and `fuse` leave, in words.
        seconds: Median seconds of one call by variant; a variant that could not be run is absent.
        limit: Seconds that the memory bandwidth alone would ask for.
        note: What was not measured, and why.
    """

    model: str
    setting: str
    left: str
    seconds: Mapping[str, float]
    limit: float
    note: str = ""


def table(rows: Sequence[Measured], device: torch.device) -> str:
    """What the times are, and a line for each model and setting, as markdown."""
    head = [
        f"{today()}, {_device(device)}{machine()}. {_not_measured(device)}",
        "",
        f"Milliseconds: medians of {ROUNDS[device.type]} calls in turns. In brackets: times the memory-bandwidth "
        "limit; below them, times eager.",
        "",
        f"| model | setting | BatchNorm left: bnlint and fuse | limit | {' | '.join(VARIANTS)} | |",
        f"| --- | --- | --- | --- | {' | '.join('---' for _ in VARIANTS)} | --- |",
    ]
    return "\n".join([*head, *map(_line, rows)])


def page(rows: Sequence[Measured], device: torch.device) -> str:
    """The whole page: how it was made, what the limit is, and the table."""
    return f"""# Run time of folded models

Made by `python -m benchmarks.fold_speed --write benchmarks/results/fold_speed.md`. Nothing kept other programs from
running on the machine meanwhile.

Random weights, plausible statistics, images of 224 × 224 pixels. Models are folded in float32, and the result is cast;
a fold whose proof fails is left out. `torch.compile` has its own defaults and no dynamic shapes. TF32, where a GPU
offers it, is as PyTorch has it by default: on in convolutions, off in matrix products.

*Limit*: the bytes that the convolutions and linear layers read and write once each, divided by the bandwidth of copying
one large tensor on the same device in the same run. Large convolutions are held up by arithmetic rather than by memory,
small ones by the time it takes to call them.

{table(rows, device)}
"""


def _device(device: torch.device) -> str:
    return f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""


def _not_measured(device: torch.device) -> str:
    if device.type == "cuda":
        return "Measured on the GPU with CUDA events; the CPU was not measured."
    return (
        "Measured on one thread of the CPU alone, in processor time: batch 64, float16 and **everything on a GPU were "
        "not measured**."
    )


def _line(row: Measured) -> str:
    cells = " | ".join(_cell(row, variant) for variant in VARIANTS)
    return f"| {row.model} | {row.setting} | {row.left} | {1000 * row.limit:.2f} | {cells} | {row.note} |"


def _cell(row: Measured, variant: str) -> str:
    seconds = row.seconds.get(variant)
    if seconds is None:
        return "–"
    ratio = "" if variant == "eager" else f"<br>{seconds / row.seconds['eager']:.2f} ×"
    return f"{1000 * seconds:.2f} ({seconds / row.limit:.1f}){ratio}"
