"""Folds public models with weights and compares what they compute, in float64 and in float32.

The smallest model of each family of timm that has BatchNorm layers, and every classification model of torchvision with
fewer than 100 million parameters. The judge is not bnlint's own proof: the outputs of the folded model are compared
with those of the original in float64, on other images than the proof used.

python -m benchmarks.fold_numeric                                           # all of them, a summary on the terminal
python -m benchmarks.fold_numeric 'resnet*'                                 # those whose names fit
python -m benchmarks.fold_numeric --write benchmarks/results/fold_numeric.md  # the table for keeps
"""

from __future__ import annotations

import copy
import fnmatch
import itertools
import math
import sys
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

import bnlint
from benchmarks.fold_numeric_page import Row, page, summary
from benchmarks.public_models import PublicModel, batch_norms, torchvision_models
from benchmarks.sweep import arguments_of, sweep
from tests.models import with_plausible_statistics
from tests.zoo.families import FAMILIES, SIDES

MOST_PARAMETERS = 100_000_000
TORCHVISION_SIDES = {"inception_v3": 96, "maxvit_t": 224}
"""Height and width in pixels for the models of torchvision that do not accept 64."""


def models(pattern: str) -> Iterator[tuple[PublicModel, int]]:
    """The models of the sweep whose names fit a shell pattern, with the side of their images in pixels."""
    import timm

    for family, name in FAMILIES.items():
        if fnmatch.fnmatch(name, pattern):
            public = PublicModel(name, f"timm {family}", partial(timm.create_model, name))
            yield public, SIDES.get(name, 64)
    for public in torchvision_models(pattern):
        if public.family == "torchvision classification" and _is_wanted(public.without_weights()):
            yield public, TORCHVISION_SIDES.get(public.name, 64)


def _is_wanted(model: nn.Module) -> bool:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return bool(batch_norms(model)) and parameters < MOST_PARAMETERS


def measure(public: PublicModel, side: int) -> Row:
    """Folds one model in float64 and in float32, and compares each with the original in float64.

    Args:
        public: The model; it gets random weights, statistics and affines, and gains of both signs.
        side: Height and width of the images in pixels.
    """
    start = time.perf_counter()
    torch.manual_seed(0)
    model = with_gains_of_both_signs(with_plausible_statistics(public.build())).eval()
    layers = batch_norms(model)
    seen, proved = (_images(side, seed) for seed in (1, 2))
    single = bnlint.fold(model, (proved,))
    rounding = _outputs(model, seen)
    model.double()
    double = bnlint.fold(model, (proved.double(),))
    expected = _outputs(model, seen.double())
    proof = double.proof
    return Row(
        name=public.name,
        family=public.family,
        side=side,
        layers=len(layers),
        folded=len({fold.layer for fold in double.folds} & layers),
        exact=relative_error(expected, _outputs(double.model, seen.double())),
        worst_layer=max(proof.errors.values(), default=0.0) if proof is not None else float("inf"),
        single=relative_error(expected, _outputs(single.model, seen)),
        unfolded=relative_error(expected, rounding),
        proved=double.verified and single.verified,
        seconds=time.perf_counter() - start,
    )


def with_gains_of_both_signs(model: nn.Module, seed: int = 1) -> nn.Module:
    """Turns the sign of about a quarter of the gains of each BatchNorm, in place, and returns the model."""
    generator = torch.Generator().manual_seed(seed)
    for path in sorted(batch_norms(model)):
        weight = getattr(model.get_submodule(path), "weight", None)
        if isinstance(weight, nn.Parameter):
            weight.data[torch.rand(weight.shape, generator=generator) < 0.25] *= -1
    return model


def relative_error(expected: Tensor, outcome: Tensor) -> float:
    """Largest difference relative to the largest expected value; infinite where a value is not finite."""
    difference = float((outcome - expected).abs().max() / expected.abs().max())
    return difference if math.isfinite(difference) else float("inf")


def _images(side: int, seed: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _outputs(model: nn.Module, images: Tensor) -> Tensor:
    """The outputs in float64, all in one row; of a copy, since some models keep what they computed."""
    with torch.inference_mode():
        result = copy.deepcopy(model)(images)
    tensors = result if isinstance(result, (list, tuple)) else [result]
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def _row(public: PublicModel, side: int) -> Row:
    try:
        return measure(public, side)
    except Exception as error:
        return Row(public.name, public.family, side, note=f"{type(error).__name__}: {error}")


def main() -> None:
    """Prints the summary; writes the page where asked. The exit code is 1 if a fold is wrong."""
    arguments = arguments_of("benchmarks.fold_numeric", __doc__).parse_args()
    rows = sweep(itertools.starmap(_row, models(arguments.pattern)), arguments, summary, page)
    sys.exit(any(row.is_wrong for row in rows))


if __name__ == "__main__":
    main()
