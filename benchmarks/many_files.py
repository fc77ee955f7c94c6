"""Prints what `--jobs 2` gains on many small checkpoints, and how memory grows with their number.

`python -m benchmarks.many_files [NUMBER]`; by default 1,000 checkpoints.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from benchmarks.resident import MEBIBYTE, machine, today
from tests.models import with_plausible_statistics

ROUNDS = 2
"""Runs of each kind, in turns, of which the faster one counts: a busy machine only ever slows one down."""
CHECK = """
import re, resource
from pathlib import Path
from bnlint.cli.main import main
try:
    main()
except SystemExit as ended:
    if ended.code != 0:
        raise
own = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs bnlint and then prints the peak memory of the process and of its largest child, in KiB; for Linux."""


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
    command = [sys.executable, "-c", CHECK, "check", str(folder), *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"the check ended with {done.returncode}: {done.stderr.strip()} {done.stdout[:300]}")
    own, worker = (int(word) * 1024 for word in done.stdout.splitlines()[-1].split())
    return Cost(seconds, own, worker)


def main() -> None:
    """Writes the checkpoints into a temporary folder, checks them and prints the ratios."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as top:
        many, few = Path(top) / "many", Path(top) / "few"
        for folder, count in ((many, number), (few, number // 10)):
            folder.mkdir()
            write_checkpoints(folder, count)
        runs = [(measure(many, 1), measure(many, 2)) for _ in range(ROUNDS)]
        small = measure(few, 1)
    one, two = (min(column, key=lambda cost: cost.seconds) for column in zip(*runs, strict=True))
    print(f"{today()}, {machine()}\n")
    for label, cost in (("--jobs 1", one), ("--jobs 2", two)):
        print(f"{label}: {number} checkpoints, {number / cost.seconds:.1f} files a second")
    print(f"--jobs 2 ÷ --jobs 1: {one.seconds / two.seconds:.2f} × the files a second")
    for label, large, less in (("report", one.own, small.own), ("worker", one.worker, small.worker)):
        at_both = f"{less / MEBIBYTE:.0f} MiB at {number // 10}, {large / MEBIBYTE:.0f} MiB at {number}"
        print(f"peak memory, {label}: {at_both}, ratio {large / less:.3f}")


if __name__ == "__main__":
    main()
