"""Prints the resident memory that tracing takes: for ten million and a billion parameters, and beside real weights.

Each model is traced in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass

import torch
from torch import nn

import bnlint
from benchmarks.resident import MEBIBYTE, machine, today
from benchmarks.tracers import measured, warm_up
from tests import torchvision_ops  # noqa: F401  (before torchvision)

BLOCKS = 10
SMALL_WIDTH, LARGE_WIDTH = 334, 3_334


@dataclass(frozen=True)
class Memory:
    """What one process saw.

    Attributes:
        parameters: Number of parameters of the model.
        weights: Bytes that the parameters and buffers have, or would have off the meta device.
        before: Resident bytes before tracing.
        grown: Resident bytes that tracing added, at its peak.
        calls: Normalisation calls in the trace.
    """

    parameters: int
    weights: int
    before: int
    grown: int
    calls: int


def wide(width: int) -> nn.Module:
    """Ten 3×3 convolutions of `width` channels with BatchNorm, on the meta device: 90 · width² parameters."""
    with torch.device("meta"):
        blocks = [
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for _ in range(BLOCKS)
        ]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)).eval()


def heavy() -> nn.Module:
    """A resnet152 with a linear layer of 50,000 classes and real weights in memory: 0.6 GiB."""
    from torchvision.models import resnet152

    model: nn.Module = resnet152(num_classes=50_000).eval()
    return model


MODELS = {"small": lambda: wide(SMALL_WIDTH), "large": lambda: wide(LARGE_WIDTH), "heavy": heavy}


def measure(name: str) -> Memory:
    """Traces one of `MODELS` in this process."""
    warm_up()
    model = MODELS[name]()
    tensors = [*model.parameters(), *model.buffers()]
    trace, cost = measured(lambda: bnlint.trace(model))
    if trace.how != "recorded":
        raise RuntimeError(f"{name} was not recorded on meta tensors: {trace.reason}")
    return Memory(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        before=cost.before,
        grown=cost.grown,
        calls=len(trace.norm_calls),
    )


def _in_process(name: str) -> Memory:
    command = [sys.executable, "-m", "benchmarks.memory", name]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr.strip()}")
    return Memory(**json.loads(done.stdout))


def main() -> None:
    """Prints a line for each model and the ratios."""
    if len(sys.argv) > 1:
        print(json.dumps(asdict(measure(sys.argv[1]))))
        return
    found = {name: _in_process(name) for name in MODELS}
    small, large, real = found["small"], found["large"], found["heavy"]
    print(f"{today()}, {machine()}\n")
    print("model                            parameters       weights  process before  trace adds")
    labels = {"small": "wide, meta device", "large": "wider, meta device", "heavy": "resnet152, 50,000 classes, CPU"}
    for name, memory in found.items():
        sizes = (f"{size / MEBIBYTE:9,.1f} MiB" for size in (memory.weights, memory.before, memory.grown))
        print(f"{labels[name]:<30} {memory.parameters:>13,}{''.join(sizes)}   ({memory.calls} calls)")
    peaks = (large.before + large.grown) / (small.before + small.grown)
    print(f"\npeak at {large.parameters / small.parameters:.0f} times the parameters: {peaks:.3f} ×")
    print(f"beside real weights: tracing adds {real.grown / real.weights:.4f} of their bytes")


if __name__ == "__main__":
    main()
