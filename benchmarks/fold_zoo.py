"""Plans the folding of every timm model with a BatchNorm, without weights, beside `fuse` of torch.fx.

python -m benchmarks.fold_zoo                                       # all of them, a summary on the terminal
python -m benchmarks.fold_zoo 'resnet*'                             # those whose names fit
python -m benchmarks.fold_zoo --write benchmarks/results/fold_zoo.md  # the table for keeps
"""

from __future__ import annotations

import time
from collections import Counter

from torch import fx, nn
from torch.fx.experimental.optimization import fuse

import bnlint
from benchmarks.fold_zoo_page import Fused, Row, page, summary
from benchmarks.public_models import PublicModel, batch_norms, timm_models
from benchmarks.sweep import arguments_of, sweep

NO_VERDICT = "bnlint gives no verdict"


def measure(public: PublicModel) -> Row | None:
    """Builds one model, plans its folding and fuses it; whatever fails is in the row.

    Args:
        public: The model.

    Returns:
        The row; `None` for a model without BatchNorm.
    """
    try:
        model = public.without_weights()
    except Exception as error:
        return Row(public.name, public.family, note=f"its constructor raised {type(error).__name__}: {error}")
    layers = batch_norms(model)
    if not layers:
        return None
    start = time.perf_counter()
    try:
        plan = bnlint.plan(model)
    except Exception as error:
        causes = Counter({f"bnlint raised {type(error).__name__}": len(layers)})
        return Row(public.name, public.family, len(layers), 0, causes, fused=fused(model), note=str(error))
    seconds = time.perf_counter() - start
    folded = {fold.layer for fold in plan.folds}
    causes_of = {kept.layer: kept.cause for kept in plan.kept}
    unknown = (folded | set(causes_of)) - layers
    return Row(
        name=public.name,
        family=public.family,
        layers=len(layers),
        folded=len(folded & layers),
        causes=Counter(causes_of.get(layer, NO_VERDICT) for layer in layers - folded),
        seconds=seconds,
        fused=fused(model),
        note=f"verdicts on what is no BatchNorm layer: {', '.join(sorted(unknown))}" if unknown else "",
    )


def fused(model: nn.Module) -> Fused:
    """How many BatchNorm layers `fuse` removes: those that its graph calls before and not after.

    What `fuse` does first, `symbolic_trace`, is done here, so that the traced model can be moved to the meta device:
    a model whose constructor reads values has its buffers in memory, which `fuse` could not mix with meta weights.
    """
    start = time.perf_counter()
    try:
        traced = fx.symbolic_trace(model).to("meta")
        before = _called_norms(traced)
        after = _called_norms(fuse(traced, no_trace=True))
    except Exception as error:
        return Fused(0, time.perf_counter() - start, type(error).__name__)
    return Fused(len(before - after), time.perf_counter() - start)


def _called_norms(graph_module: nn.Module) -> frozenset[str]:
    if not isinstance(graph_module, fx.GraphModule):
        raise TypeError(f"{type(graph_module).__name__} has no graph")
    called = {str(node.target) for node in graph_module.graph.nodes if node.op == "call_module"}
    return batch_norms(graph_module) & called


def main() -> None:
    """Prints the shares and the table of reasons; writes the page where asked."""
    arguments = arguments_of("benchmarks.fold_zoo", __doc__).parse_args()
    sweep(map(measure, timm_models(arguments.pattern)), arguments, summary, page)


if __name__ == "__main__":
    main()
