"""Traces every timm model with a BatchNorm and every torchvision model, without weights, beside other tracers.

python -m benchmarks.zoo                                  # all of them, a summary on the terminal
python -m benchmarks.zoo 'resnet*'                        # those whose names fit
python -m benchmarks.zoo --write benchmarks/results/zoo.md  # the table for keeps
python -m benchmarks.zoo --export all                     # torch.export on all, not on one of each family (hours)
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

import bnlint
from benchmarks.public_models import PublicModel, all_norms, batch_norms, timm_models, torchvision_models
from benchmarks.sweep import arguments_of, sweep
from benchmarks.tracers import Look, lint_error, look_export, look_symbolic, measured, warm_up
from benchmarks.zoo_page import Row, page, summary
from bnlint.tracing.inputs import Inputs

EXPORT_LIMIT = 60
"""Seconds after which `torch.export` is given up on one model."""


def measure(public: PublicModel, export: bool, every_model: bool) -> Row | None:
    """Builds and traces one model; whatever fails is in the row.

    Args:
        public: The model.
        export: Whether `torch.export` is tried too.
        every_model: Whether a model without BatchNorm gets a row.
    """
    try:
        model = public.without_weights()
    except Exception as error:
        return Row(public.name, public.family, note=f"its constructor raised {type(error).__name__}: {error}")
    layers = batch_norms(model)
    if not layers and not every_model:
        return None
    try:
        trace, cost = measured(lambda: bnlint.trace(model))
    except Exception as error:
        return Row(public.name, public.family, len(layers), note=f"bnlint raised {type(error).__name__}: {error}")
    called = {call.layer for call in trace.norm_calls}
    norms = all_norms(model)
    note = trace.reason or _only_in_training(model, norms - called)
    invalid = lint_error(trace)
    return Row(
        name=public.name,
        family=public.family,
        layers=len(layers),
        seen=len(layers & called),
        norms=len(norms),
        norms_seen=len(norms & called),
        how=str(trace.how),
        valid=not invalid,
        note=f"{note}; {invalid}" if invalid else note,
        cost=cost,
        symbolic=look_symbolic(model),
        export=_export(public, model, trace.example) if export else None,
    )


def _only_in_training(model: nn.Module, missing: frozenset[str]) -> str:
    """Auxiliary heads do not run in evaluation mode."""
    if not missing:
        return ""
    called = {call.layer for call in bnlint.trace(model.train()).norm_calls}
    model.eval()
    words = f"{len(missing)} layers are not called in evaluation mode"
    return f"{words}, {len(missing & called)} of them are in training mode"


def _export(public: PublicModel, model: nn.Module, example: Inputs | None) -> Look:
    """`torch.export` on the meta device; where it refuses that, with real weights in memory."""
    look = look_export(model, example, EXPORT_LIMIT)
    if not look.error or look.error == "too long":
        return look
    try:
        real = public.build().eval()
    except Exception:  # it was built on the meta device
        return look
    return look_export(real, example, EXPORT_LIMIT)


def _rows(pattern: str, export: str) -> Iterator[Row | None]:
    tried: set[str] = set()
    models = [(public, True) for public in torchvision_models(pattern)]
    models += [(public, False) for public in timm_models(pattern)]
    for public, every_model in models:
        row = measure(public, export == "all" or (export == "sample" and public.family not in tried), every_model)
        if row is not None:
            tried.add(public.family)
        yield row


def main() -> None:
    """Prints the summary and a line for every model that was not seen whole; writes the table where asked."""
    parser = arguments_of("benchmarks.zoo", __doc__)
    parser.add_argument("--export", choices=("none", "sample", "all"), default="sample", help="where to try it")
    arguments = parser.parse_args()
    warm_up()
    sweep(_rows(arguments.pattern, arguments.export), arguments, summary, page)


if __name__ == "__main__":
    main()
