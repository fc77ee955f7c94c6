"""Prints the resident memory that folding takes beside the weights, in place and as a copy; each in its own process.

python -m benchmarks.fold_memory                                          # a hundred million parameters
python -m benchmarks.fold_memory --write benchmarks/results/fold_memory.md  # the table for keeps
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

import bnlint
from benchmarks.resident import MEBIBYTE, forget_peak, machine, peak, resident, today
from tests.models import with_plausible_statistics

WIDTH = 264
"""Channels of each layer: 627,264 weights in a 3×3 convolution."""

BLOCKS = 160
IMAGES = (1, WIDTH, 6, 6)


@dataclass(frozen=True)
class Memory:
    """What one process saw.

    Attributes:
        how: What it did.
        weights: Bytes of the parameters and buffers.
        added: Resident bytes that it added, at its peak.
    """

    how: str
    weights: int
    added: int


def model_of(blocks: int) -> nn.Module:
    """Convolutions of equal size with BatchNorm, in float32 and eval mode."""
    layers = [
        nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
        for _ in range(blocks)
    ]
    return with_plausible_statistics(nn.Sequential(*layers)).eval()


def fold_in_place(model: nn.Module) -> None:
    """Folds the model itself."""
    if not bnlint.fold(model, (torch.ones(IMAGES),), inplace=True).verified:
        raise RuntimeError("the proof fails")


def fold_a_copy(model: nn.Module) -> nn.Module:
    """Gives back the folded model, beside the original."""
    result = bnlint.fold(model, (torch.ones(IMAGES),))
    if not result.verified:
        raise RuntimeError("the proof fails")
    return result.model


WAYS: dict[str, Callable[[nn.Module], object]] = {
    "fold in place": fold_in_place,
    "fold a copy": fold_a_copy,
    "copy.deepcopy alone": copy.deepcopy,
    "a float64 copy alone": lambda model: copy.deepcopy(model).double(),
}


def measure(how: str, blocks: int) -> Memory:
    """Does one of `WAYS` in this process, after the same on a small model."""
    torch.set_num_threads(1)
    WAYS[how](model_of(2))
    model = model_of(blocks)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    forget_peak()
    before = resident()
    kept = WAYS[how](model)
    added = peak() - before
    del kept
    return Memory(how, weights, added)


def in_process(how: str, blocks: int) -> Memory:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fold_memory", "--measure", how, "--blocks", str(blocks)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{how} ended with {done.returncode}: {done.stderr.strip()}")
    return Memory(**json.loads(done.stdout))


def table(rows: Sequence[Memory]) -> str:
    """A line for each way, as markdown."""
    lines = ["| | weights, MiB | added at the peak, MiB | added ÷ weights |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {row.how} | {row.weights / MEBIBYTE:.0f} | {row.added / MEBIBYTE:.0f} | {row.added / row.weights:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the table; writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fold_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="number of convolutions")
    parser.add_argument("--measure", choices=tuple(WAYS), help="do one of them in this process, and print it as JSON")
    parser.add_argument("--write", type=Path, help="markdown file for the table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if arguments.measure:
        print(json.dumps(asdict(measure(arguments.measure, arguments.blocks))))
        return
    rows = [in_process(how, arguments.blocks) for how in WAYS]
    heading = f"{today()}, {machine()}"
    print(f"{heading}\n\n{table(rows)}")
    if arguments.write is not None:
        arguments.write.write_text(page(rows, arguments.blocks, heading), encoding="utf-8")


def page(rows: Sequence[Memory], blocks: int, heading: str) -> str:
    """The whole page: date, machine, how to make it, and the table."""
    parameters = blocks * (9 * WIDTH + 2) * WIDTH
    return f"""# Memory of folding

{heading}.
Made by `python -m benchmarks.fold_memory --write benchmarks/results/fold_memory.md`.

A model of {parameters:,} parameters in float32: {blocks} 3×3 convolutions of {WIDTH} channels with BatchNorm, called
with one image of {IMAGES[2]} by {IMAGES[3]}. Resident memory of a process that does nothing else, on one thread, after
the same on a model of two convolutions. Both folds are proved: the model runs in float64 and in float32.

{table(rows)}
"""


if __name__ == "__main__":
    main()
