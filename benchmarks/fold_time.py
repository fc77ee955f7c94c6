"""Times folding beside `fuse` of torch.fx, on torchvision models that both can do.

python -m benchmarks.fold_time                                        # all twenty models
python -m benchmarks.fold_time resnet18 mobilenet_v2 --rounds 3       # some of them
python -m benchmarks.fold_time --write benchmarks/results/fold_time.md  # the table for keeps
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

import bnlint
from benchmarks.public_models import batch_norms
from benchmarks.resident import machine, today
from bnlint.folding.apply import folded_copy, new_weights
from bnlint.folding.plan import Plan
from bnlint.folding.settled import settled_plan
from tests import torchvision_ops  # noqa: F401  (before torchvision)
from tests.models import with_plausible_statistics

MODELS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_b3",
    "efficientnet_v2_s",
    "densenet121",
    "googlenet",
    "inception_v3",
    "mnasnet1_0",
    "regnet_y_400mf",
    "regnet_x_1_6gf",
    "shufflenet_v2_x1_0",
    "vgg11_bn",
)


@dataclass(frozen=True)
class Times:
    """Medians for one model, in seconds of processor time.

    Attributes:
        name: The model.
        layers: Its BatchNorm layers.
        fuse: `fuse` with its own defaults: it copies, traces and folds.
        fused: Layers that it removed.
        trace: Tracing by bnlint.
        plan: Planning on that trace.
        weights: Folding in float64, with the check that the data type can hold the result.
        copy: Copying the model around the new weights.
        whole: `bnlint.fold`, once: all of these and the proof.
        folded: Layers that bnlint folded.
    """

    name: str
    layers: int
    fuse: float
    fused: int
    trace: float
    plan: float
    weights: float
    copy: float
    whole: float
    folded: int

    @property
    def folding(self) -> float:
        """Seconds of what `fuse` does too: trace, plan, new weights and copy."""
        return self.trace + self.plan + self.weights + self.copy


def measure(name: str, rounds: int) -> Times:
    """Folds one model both ways in turns, after a round that warms up.

    Args:
        name: Name of a torchvision classification model.
        rounds: Timed rounds.

    Raises:
        RuntimeError: If the proof does not hold.
    """
    from torchvision import models

    model = with_plausible_statistics(models.get_model(name, weights=None)).eval()
    layers = len(batch_norms(model))
    seconds: dict[str, list[float]] = defaultdict(list)
    folded = fused = 0
    for turn in range(rounds + 1):
        watch = _Watch()
        fused = layers - len(batch_norms(fuse(model)))
        watch.lap("fuse")
        planned = _fold_in_stages(model, watch)
        folded = len(planned.folds)
        for label, lap in watch.laps.items() if turn else ():
            seconds[label].append(lap)
    watch = _Watch()
    result = bnlint.fold(model)
    watch.lap("whole")
    if not result.verified or len(result.folds) != folded:
        raise RuntimeError(f"The fold of {name} does not hold: {len(result.folds)} layers, error {result.max_error}")
    medians = {label: statistics.median(laps) for label, laps in seconds.items()}
    return Times(name, layers, fused=fused, folded=folded, whole=watch.laps["whole"], **medians)


def _fold_in_stages(model: nn.Module, watch: _Watch) -> Plan:
    trace = bnlint.trace(model)
    watch.lap("trace")
    planned = settled_plan(model, trace)
    watch.lap("plan")
    weights = new_weights(model, planned)
    watch.lap("weights")
    folded_copy(model, planned, weights)
    watch.lap("copy")
    return planned


class _Watch:
    """Processor seconds between laps; garbage is collected outside of them."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        gc.collect()
        self._start = time.process_time()

    def lap(self, label: str) -> None:
        """Ends a lap and begins the next."""
        self.laps[label] = time.process_time() - self._start
        gc.collect()
        self._start = time.process_time()


def table(rows: Sequence[Times]) -> str:
    """The medians and their ratios, a line for each model, as markdown."""
    lines = [
        "| model | BatchNorm: fuse, bnlint | fuse, ms | bnlint, ms | bnlint ÷ fuse "
        "| trace + plan + weights + copy, ms | `bnlint.fold` with proof, ms | ÷ fuse |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        stages = " + ".join(f"{1000 * part:.0f}" for part in (row.trace, row.plan, row.weights, row.copy))
        lines.append(
            f"| {row.name} | {row.fused}, {row.folded} of {row.layers} | {1000 * row.fuse:.0f} | "
            f"{1000 * row.folding:.0f} | {row.folding / row.fuse:.2f} × | {stages} | "
            f"{1000 * row.whole:.0f} | {row.whole / row.fuse:.1f} × |"
        )
    ratios = sorted(row.folding / row.fuse for row in rows)
    proofs = sorted(row.whole / row.fuse for row in rows)
    faster = sum(ratio <= 1 for ratio in ratios)
    lines += [
        "",
        f"bnlint ÷ fuse: median {statistics.median(ratios):.2f} ×, from {ratios[0]:.2f} × to {ratios[-1]:.2f} ×; "
        f"no slower on {faster} of {len(rows)} models. With the proof: median "
        f"{statistics.median(proofs):.1f} ×, from {proofs[0]:.1f} × to {proofs[-1]:.1f} ×.",
    ]
    return "\n".join(lines)


def page(rows: Sequence[Times], rounds: int) -> str:
    """The whole page: date, machine, how to make it, and the table."""
    return f"""# Time of folding

{today()}, {machine()}. Nothing kept other programs from running on the machine meanwhile.
Made by `python -m benchmarks.fold_time --write benchmarks/results/fold_time.md`.

Medians of {rounds} rounds in turns, after one to warm up, in processor time on one thread: torchvision models with
random weights in float32 and plausible statistics, in memory. *fuse* is `torch.fx.experimental.optimization.fuse` with
its own defaults: it copies, traces and folds in float32. *bnlint* is what does the same: trace, plan, make the new
weights in float64, check that the data type can hold them, and copy the model around them. `bnlint.fold` also proves
the fold: two runs in float64 and two in float32; this is timed once.

{table(rows)}
"""


def main() -> None:
    """Prints the table; writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fold_time", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="names of torchvision classification models")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each")
    parser.add_argument("--write", type=Path, help="markdown file for the table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = [measure(name, arguments.rounds) for name in arguments.models]
    print(f"{today()}, {machine()}, medians of {arguments.rounds} rounds, processor time\n\n{table(rows)}")
    if arguments.write is not None:
        arguments.write.write_text(page(rows, arguments.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
