"""Prints how the cost of a conv–BatchNorm pair grows with the length of the chain: 1.0 is linear.

python -m benchmarks.growth            # chains of 100, 1,000 and 10,000 pairs
python -m benchmarks.growth 100 3000   # others
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

import bnlint
from benchmarks.resident import machine, today
from bnlint.artifacts.artifact import Artifact
from bnlint.facts.collect import collect

LENGTHS = (100, 1_000, 10_000)
PAIRS = 10_000
"""Pairs that are timed at each length at least, so that a short chain is timed as long as a long one."""

LEAST_ROUNDS = 3

INPUTS = (torch.empty(2, 4, 8, 8, device="meta"),)


def chain(length: int) -> nn.Module:
    """A chain of conv–BatchNorm pairs on the meta device, in evaluation mode."""
    with torch.device("meta"):
        pairs = [(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(length)]
    return nn.Sequential(*(layer for pair in pairs for layer in pair)).eval()


def seconds_per_pair(length: int) -> tuple[float, float, float]:
    """Processor seconds for each pair of tracing, of collecting facts and of a whole check, as medians."""
    model = chain(length)
    trace = bnlint.trace(model, INPUTS)
    if len(trace.norm_calls) != length:
        raise RuntimeError(f"{len(trace.norm_calls)} of {length} BatchNorm calls were seen.")
    artifact = Artifact("chain", "module", module=model)
    stages: tuple[Callable[[], object], ...] = (
        lambda: bnlint.trace(model, INPUTS),
        lambda: collect(artifact, trace),
        lambda: bnlint.check(model, inputs=INPUTS),
    )
    tracing, facts, check = (_median(stage, max(LEAST_ROUNDS, PAIRS // length)) / length for stage in stages)
    return tracing, facts, check


def _median(stage: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        gc.collect()  # else a collection of what an earlier stage left falls into a later one
        start = time.process_time()
        stage()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main() -> None:
    """Prints a line for each length: microseconds for a pair, and how many times those of the shortest chain."""
    lengths = tuple(map(int, sys.argv[1:])) or LENGTHS
    seconds_per_pair(lengths[0])  # warms up
    print(f"{today()}, {machine()}\n")
    print("Processor time for each conv–BatchNorm pair, and its ratio to that of the shortest chain:")
    print("   pairs  bnlint.trace       facts.collect      bnlint.check")
    first = None
    for length in lengths:
        costs = seconds_per_pair(length)
        first = first or costs
        cells = (f"{cost * 1e6:6.0f} µs {cost / base:5.2f} ×" for cost, base in zip(costs, first, strict=True))
        print(f"{length:8,}  {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
