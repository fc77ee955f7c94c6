"""Prints what `--jobs 2` gains on many small checkpoints, and how time and memory grow with their number.

python -m benchmarks.many_files --write benchmarks/results/many_files.md  # 1,000 checkpoints, and the table for keeps
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from benchmarks.resident import BNLINT_AND_PEAKS, MEBIBYTE, machine, peaks, today
from tests.models import with_plausible_statistics

ROUNDS = 3
"""Runs of each kind, in turns, of which the fastest counts: a busy machine only ever slows one down."""


@dataclass(frozen=True)
class Cost:
    """What one run of `bnlint check` took.

    Attributes:
        seconds: Wall-clock time.
        own: Highest resident memory of the process that writes the report, in bytes.
        worker: Highest resident memory of any process that it started, in bytes.
    """

    seconds: float
    own: int
    worker: int


def write_checkpoints(folder: Path, number: int) -> None:
    """Write small state_dicts with other statistics each, half of them as `torch.save`, half as safetensors files."""
    from safetensors.torch import save_file

    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8))
    for index in range(number):
        weights = with_plausible_statistics(model, seed=index).state_dict()
        if index % 2:
            torch.save(weights, folder / f"{index:05}.pt")
        else:
            save_file(weights, folder / f"{index:05}.safetensors")


def measure(folder: Path, jobs: int) -> Cost:
    """Check a folder in a process of its own, as the command line does."""
    options = ["--jobs", str(jobs), "--no-config", "--format", "concise", "--fail-on", "never"]
    command = [sys.executable, "-c", BNLINT_AND_PEAKS, "check", str(folder), *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"the check ended with {done.returncode}: {done.stderr.strip()} {done.stdout[:300]}")
    return Cost(seconds, *peaks(done.stdout))


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        number: How many checkpoints.
        one: With `--jobs 1`.
        two: With `--jobs 2`.
        few: A tenth of the checkpoints with `--jobs 1`.
    """

    number: int
    one: Cost
    two: Cost
    few: Cost

    def table(self) -> str:
        """Times and memory, as markdown."""
        each = (self.one.seconds - self.few.seconds) / (self.number - self.number // 10)
        rows = [
            ("`--jobs 1`, files a second", f"{self.number / self.one.seconds:.0f}"),
            ("`--jobs 2`, files a second", f"{self.number / self.two.seconds:.0f}"),
            ("`--jobs 2` ÷ `--jobs 1`", f"{self.one.seconds / self.two.seconds:.2f}"),
            ("`--jobs 1`, each further file, milliseconds", f"{1000 * each:.1f}"),
        ]
        pairs = (("report", self.one.own, self.few.own), ("worker", self.one.worker, self.few.worker))
        for label, large, less in pairs:
            at_both = f"{less / MEBIBYTE:.0f} and {large / MEBIBYTE:.0f} MiB, ratio {large / less:.2f}"
            rows.append((f"peak memory, {label}, at {self.number // 10} and {self.number} files", at_both))
        return "\n".join(("| | |", "| --- | --- |", *(f"| {label} | {value} |" for label, value in rows)))


def compare(number: int) -> Result:
    """Check the same checkpoints in both ways, in turns, and a tenth of them."""
    with tempfile.TemporaryDirectory() as top:
        many, few = Path(top) / "many", Path(top) / "few"
        for folder, count in ((many, number), (few, number // 10)):
            folder.mkdir()
            write_checkpoints(folder, count)
        runs = [(measure(many, 1), measure(many, 2), measure(few, 1)) for _ in range(ROUNDS)]
    return Result(number, *(fastest(column) for column in zip(*runs, strict=True)))


def fastest(costs: Sequence[Cost]) -> Cost:
    """The run that the machine disturbed least."""
    return min(costs, key=lambda cost: cost.seconds)


def page(result: Result, heading: str) -> str:
    """The whole page: date, machine, how to make it, and the table."""
    return f"""# Many small checkpoints

{heading}.
Made by `python -m benchmarks.many_files --write benchmarks/results/many_files.md`.

{result.number:,} state_dicts of two convolutions and two BatchNorm layers in a folder, half of them files of
`torch.save`, half safetensors, checked by `bnlint check FOLDER`. The fastest of {ROUNDS} runs of each kind, in turns,
start-up included.

{result.table()}
"""


def main() -> None:
    """Prints the table; writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_files", description=__doc__.splitlines()[0])
    parser.add_argument("number", nargs="?", type=int, default=1000, help="how many checkpoints; 1000 by default")
    parser.add_argument("--write", type=Path, help="markdown file for the table")
    arguments = parser.parse_args()
    result = compare(arguments.number)
    heading = f"{today()}, {machine()}"
    print(f"{heading}\n\n{result.table()}")
    if arguments.write is not None:
        arguments.write.write_text(page(result, heading), encoding="utf-8")


if __name__ == "__main__":
    main()
