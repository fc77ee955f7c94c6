"""Prints what folding costs in precision: in float64 with one cast, and in the data type of the model.

python -m benchmarks.fold_precision                                             # one layer, and five models
python -m benchmarks.fold_precision --write benchmarks/results/fold_precision.md  # the tables for keeps
"""

from __future__ import annotations

import argparse
import copy
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm

import bnlint
from benchmarks.resident import machine, today
from bnlint.folding.apply import cast, error_of_cast, folded_copy
from bnlint.folding.planner import make_plan
from bnlint.folding.precision import beyond_precision
from bnlint.folding.weights import changed_carriers
from tests import torchvision_ops  # noqa: F401  (before torchvision)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MODELS = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf")
SEEDS = 5
"""Layers that are drawn for each case; the tables show the median."""

IMAGES = (4, 3, 128, 128)


@dataclass(frozen=True)
class LayerCase:
    """What a convolution with BatchNorm sees: its statistics are those of its own output.

    Attributes:
        name: In words.
        mean: Mean of its input.
        spread: Standard deviation of its input.
        gain: Largest scale of the BatchNorm; the scales are spread evenly between it and its thousandth.
        balanced: Whether the weights of each output sum to 0, so that they cancel the mean of the input.
    """

    name: str
    mean: float
    spread: float
    gain: float
    balanced: bool = False


LAYERS = (
    LayerCase("ordinary", mean=0, spread=1, gain=1.5),
    LayerCase("input far from 0", mean=10, spread=1, gain=1.5),
    LayerCase("tiny variance, near eps", mean=0, spread=3e-3, gain=1.5),
    LayerCase("tiny variance far from 0", mean=1, spread=3e-3, gain=1.5),
    LayerCase("the same, weights that cancel the mean", mean=1, spread=3e-3, gain=1.5, balanced=True),
    LayerCase("large gains", mean=0, spread=1, gain=100),
)


@dataclass(frozen=True)
class Errors:
    """Relative errors against the unfolded model in float64; the largest of all outputs.

    Attributes:
        case: The layer or model.
        dtype: Data type of the weights.
        fused: Of the weights that `fuse` folds in the data type, run in float64.
        folded: Of the weights that bnlint folds in float64 and casts once, run in float64.
        original_run: Of the unfolded model, run in the data type.
        fused_run: Of what `fuse` gives, run in the data type.
        folded_run: Of what bnlint gives, run in the data type.
        note: What bnlint says of the fold, where it is not simply done and proved.
    """

    case: str
    dtype: torch.dtype
    fused: float
    folded: float
    original_run: float
    fused_run: float
    folded_run: float
    note: str = ""


def of_layer(case: LayerCase, dtype: torch.dtype, seed: int) -> Errors:
    """Folds one convolution of 64 channels both ways."""
    torch.manual_seed(seed)
    images = (case.mean + case.spread * torch.randn(4, 64, 16, 16)).to(dtype)
    norm = nn.BatchNorm2d(64)
    with torch.no_grad():
        norm.weight.copy_(case.gain * torch.logspace(-3, 0, 64))
        norm.bias.normal_(0, 0.2)
    conv = nn.Conv2d(64, 64, 3, bias=False)
    if case.balanced:
        with torch.no_grad():
            conv.weight -= conv.weight.mean((1, 2, 3), keepdim=True)
    model = nn.Sequential(conv, norm)
    calibrate(model, images.float())
    model = model.to(dtype)
    planned = make_plan(model, bnlint.trace(model, (images,)))
    carriers = changed_carriers(model, planned)
    folded = folded_copy(model, planned, {path: cast(carrier) for path, carrier in carriers.items()})
    errors = {path: (dtype, error_of_cast(carrier)) for path, carrier in carriers.items()}
    beyond = "bnlint keeps it: beyond the data type" if beyond_precision(planned, errors) else ""
    return _errors(case.name, model, fuse(model), folded, images, beyond, channel_error)


def of_model(name: str, dtype: torch.dtype) -> Errors:
    """Folds one torchvision model both ways."""
    from torchvision import models

    torch.manual_seed(0)
    model = models.get_model(name, weights=None)
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    calibrate(model, torch.randn(IMAGES))
    model = model.to(dtype)
    images = torch.randn(IMAGES).to(dtype)
    result = bnlint.fold(model, (images,))
    notes = [f"{len(result.kept)} kept"] * bool(result.kept) + ["not proved"] * (not result.verified)
    return _errors(name, model, fuse(model), result.model, images, ", ".join(notes), output_error)


def calibrate(model: nn.Module, images: Tensor) -> None:
    """Sets running statistics to those of one batch, as training would leave them; the model ends in eval mode."""
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = None  # the mean over all batches, here one
    with torch.no_grad():
        model.train()(images)
    model.eval()


def output_error(expected: Tensor, outcome: Tensor) -> float:
    """Largest difference, relative to the largest expected value."""
    return float((outcome.double() - expected).abs().max() / expected.abs().max())


def channel_error(expected: Tensor, outcome: Tensor) -> float:
    """Largest of the same in each channel (axis 1), so that a small channel counts as much as a large one."""
    axes = (0, 2, 3)
    return float(((outcome.double() - expected).abs().amax(axes) / expected.abs().amax(axes)).max())


def _errors(
    case: str,
    model: nn.Module,
    fused: nn.Module,
    folded: nn.Module,
    images: Tensor,
    note: str,
    error: Callable[[Tensor, Tensor], float],
) -> Errors:
    exact_images = images.double()
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(exact_images)
        exact_fused, exact_folded = (copy.deepcopy(other).double()(exact_images) for other in (fused, folded))
        return Errors(
            case=case,
            dtype=images.dtype,
            fused=error(expected, exact_fused),
            folded=error(expected, exact_folded),
            original_run=error(expected, model(images)),
            fused_run=error(expected, fused(images)),
            folded_run=error(expected, folded(images)),
            note=note,
        )


def _median(several: Sequence[Errors]) -> Errors:
    def middle(name: str) -> float:
        values: list[float] = [getattr(errors, name) for errors in several]
        return statistics.median(values)

    kept = sum(bool(errors.note) for errors in several)
    return Errors(
        several[0].case,
        several[0].dtype,
        middle("fused"),
        middle("folded"),
        middle("original_run"),
        middle("fused_run"),
        middle("folded_run"),
        f"bnlint would keep it in {kept} of {len(several)}" if kept else "",
    )


def _table(title: str, rows: Sequence[Errors]) -> str:
    lines = [
        f"| {title} | data type | weights: fuse | weights: bnlint | fuse ÷ bnlint | run: unfolded | run: fuse "
        "| run: bnlint | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        weights = f"{row.fused:.1e} | {row.folded:.1e} | {row.fused / row.folded:.2f} ×"
        runs = f"{row.original_run:.1e} | {row.fused_run:.1e} | {row.folded_run:.1e}"
        lines.append(f"| {row.case} | {str(row.dtype).removeprefix('torch.')} | {weights} | {runs} | {row.note} |")
    return "\n".join(lines)


def report() -> str:
    """Both tables with what they show."""
    layers = [[of_layer(case, dtype, seed) for seed in range(SEEDS)] for case in LAYERS for dtype in DTYPES]
    models = [of_model(name, dtype) for name in MODELS for dtype in DTYPES]
    return f"""Errors are relative to the unfolded model in float64, with the same weights of the data type.
*Weights*: the folded weights, run in float64, so that only folding counts. *Run*: the model, run in its data type.

## One layer: a 3×3 convolution of 64 channels with BatchNorm

Statistics are those of the convolution's own output, scales lie between a thousandth of the largest and the largest.
Medians of {SEEDS} draws of the error of the worst channel, relative to the largest output of that channel.

{_table("layer", list(map(_median, layers)))}

## Models

torchvision with random weights, random affines and statistics of random images; largest error of the outputs, relative
to the largest.

{_table("model", models)}
"""


def main() -> None:
    """Prints the tables; writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fold_precision", description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="markdown file for the tables")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # threads that wait for one another cost more than they give where the machine is shared
    heading = f"{today()}, {machine()}"
    text = report()
    print(f"{heading}\n\n{text}", end="")
    if arguments.write is not None:
        command = f"python -m benchmarks.fold_precision --write {arguments.write}"
        page = f"# Precision of folding\n\n{heading}.\nMade by `{command}`.\n\n{text}"
        arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
