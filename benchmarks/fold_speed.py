"""Prints what folding saves at run time: eager and compiled, folded and not, and folded by `fuse` of torch.fx.

On a GPU: batch 1 and 64, float32 and float16 channels_last, medians of CUDA events. On the CPU: batch 1 alone, float32
in both memory formats, medians of processor time on one thread, which other programs disturb least. Which of the two a
table was made on stands above it: where it says that there is no accelerator, nothing was measured on a GPU.

python -m benchmarks.fold_speed                                         # all six models
python -m benchmarks.fold_speed resnet50 mobilenet_v3_large             # two of them
python -m benchmarks.fold_speed --limit 300                             # nothing is compiled after five minutes
python -m benchmarks.fold_speed --no-compile                            # without `torch.compile`, which takes long
python -m benchmarks.fold_speed --write benchmarks/results/fold_speed.md  # the table for keeps
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

import bnlint
from benchmarks.fold_speed_page import Measured, page, table
from benchmarks.public_models import batch_norms
from benchmarks.stopwatch import bandwidth, least_bytes, medians_in_turns
from tests import torchvision_ops  # noqa: F401  (before torchvision and timm)
from tests.models import with_plausible_statistics

MODELS = ("resnet50", "mobilenet_v3_large", "efficientnet_b0", "densenet121", "inception_next_tiny", "repvgg_b0")
"""ConvNeXt itself has no BatchNorm; InceptionNeXt is the same design with one. The last two are timm's."""

PIXELS = 224


@dataclass(frozen=True)
class Setting:
    """How a model is run.

    Attributes:
        batch: Images at once.
        dtype: Data type of weights and images.
        memory_format: Layout of both.
    """

    batch: int
    dtype: torch.dtype
    memory_format: torch.memory_format

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """A copy of a model in this data type and layout."""
        twin = copy.deepcopy(model).to(device, self.dtype)
        return twin.to(memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def images(self, device: torch.device) -> Tensor:
        """Random images."""
        images = torch.randn(self.batch, 3, PIXELS, PIXELS, device=device, dtype=self.dtype)
        return images.contiguous(memory_format=self.memory_format)

    def __str__(self) -> str:
        layout = " channels_last" if self.memory_format is torch.channels_last else ""
        return f"{str(self.dtype).removeprefix('torch.')}{layout}, batch {self.batch}"


GPU_SETTINGS = tuple(
    Setting(batch, dtype, layout)
    for dtype, layout in ((torch.float32, torch.contiguous_format), (torch.float16, torch.channels_last))
    for batch in (1, 64)
)
CPU_SETTINGS = tuple(Setting(1, torch.float32, layout) for layout in (torch.contiguous_format, torch.channels_last))


@dataclass(frozen=True)
class Folded:
    """One model, unfolded, folded by bnlint, and by `fuse`; `None` where that is not possible or not proved."""

    name: str
    layers: int
    original: nn.Module
    folded: nn.Module | None
    fused: nn.Module | None

    def counts(self) -> str:
        """BatchNorm layers that are left by bnlint and by `fuse`, of all."""
        left = ("–" if model is None else str(len(batch_norms(model))) for model in (self.folded, self.fused))
        return f"{' and '.join(left)} of {self.layers}"


def build(name: str) -> Folded:
    """A model with random weights and plausible statistics, folded in float32 on the CPU by both."""
    original = with_plausible_statistics(_model(name)).eval()
    result = bnlint.fold(original, (torch.randn(1, 3, PIXELS, PIXELS),))
    try:
        fused = fuse(original)
    except Exception:  # symbolic tracing refuses some models
        fused = None
    return Folded(name, len(batch_norms(original)), original, result.model if result.verified else None, fused)


def _model(name: str) -> nn.Module:
    import timm
    from torchvision import models

    is_torchvision = name in models.list_models()
    model: nn.Module = models.get_model(name, weights=None) if is_torchvision else timm.create_model(name)
    return model


def measure(
    model: Folded, setting: Setting, device: torch.device, bytes_a_second: float, compiled: bool, deadline: float
) -> Measured:
    """Times one model in one setting, all variants in turns.

    Args:
        model: The model and what was made of it.
        setting: Batch, data type and layout.
        device: Where.
        bytes_a_second: Of `bandwidth`.
        compiled: Whether `torch.compile` is tried.
        deadline: `time.monotonic` after which nothing more is compiled.
    """
    images = setting.images(device)
    plain = {"eager": model.original, "eager folded": model.folded, "fuse()": model.fused}
    variants: dict[str, Callable[[], object]] = {}
    notes = []
    original = setting.place(model.original, device)
    limit = least_bytes(original, images) / bytes_a_second
    for label, module in plain.items():
        if module is not None:
            variants[label] = _call(setting.place(module, device), images)
    torch.compiler.reset()  # once: it also throws away what was compiled for the other variant
    for label in ("eager", "eager folded") if compiled else ():
        module = plain[label]
        if module is None:
            continue
        if time.monotonic() > deadline:
            notes.append(f"{_COMPILED[label]}: no time left")
            continue
        try:
            variants[_COMPILED[label]] = _compiled(setting.place(module, device), images)
        except Exception as error:
            notes.append(f"{_COMPILED[label]}: {type(error).__name__}")
    with torch.inference_mode():
        seconds = medians_in_turns(variants, device)
    return Measured(model.name, str(setting), model.counts(), seconds, limit, "; ".join(notes))


_COMPILED = {"eager": "torch.compile", "eager folded": "torch.compile folded"}


def _call(module: Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    return lambda: module(images)


def _compiled(module: nn.Module, images: Tensor) -> Callable[[], object]:
    """A compiled model that has run once, in which it is compiled."""
    call = _call(torch.compile(module, dynamic=False), images)
    with torch.inference_mode():
        call()
    return call


def _rows(names: Sequence[str], device: torch.device, compiled: bool, deadline: float) -> Iterator[Measured]:
    bytes_a_second = bandwidth(device)
    settings = GPU_SETTINGS if device.type == "cuda" else CPU_SETTINGS
    for name in names:
        model = build(name)
        for setting in settings:
            yield measure(model, setting, device, bytes_a_second, compiled, deadline)


def main() -> None:
    """Prints a line for each model and setting; writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fold_speed", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="names of torchvision or timm models")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which nothing more is compiled")
    parser.add_argument("--write", type=Path, help="markdown file for the table")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    deadline = time.monotonic() + arguments.limit
    rows = list(_rows(arguments.models, device, not arguments.no_compile, deadline))
    print(table(rows, device))
    if arguments.write is not None:
        arguments.write.write_text(page(rows, device), encoding="utf-8")


if __name__ == "__main__":
    main()
