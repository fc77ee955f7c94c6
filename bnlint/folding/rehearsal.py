"""Runs a folded model without its weights: does its own code notice that layers are gone?

A forward may read `self.bn.num_features`, ask for `isinstance(layer, nn.BatchNorm2d)` or for `conv.bias is None`, or
call layers that it also keeps in a plain list. None of this is in a graph. So the folded structure is recorded once
more, and its graph has to be that of the original without the folded calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import fx, nn

from bnlint.artifacts.user_code import described
from bnlint.folding.apply import apply_plan, put_remainders
from bnlint.folding.own_code import may_notice
from bnlint.folding.plan import Plan
from bnlint.folding.planner import make_plan
from bnlint.tracing.axes import SAME_AXES
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import cpu_tensor, meta_tensor
from bnlint.tracing.kinds import How, Role
from bnlint.tracing.live import named_modules, submodule
from bnlint.tracing.record import Record, record
from bnlint.tracing.roles import operator_name
from bnlint.tracing.trace import Trace

Keep = Mapping[str, tuple[str, ...]]


def rehearsed_plan(model: nn.Module, trace: Trace, planned: Plan, timeout: float) -> Plan:
    """Keep the layers whose absence the model's own code would notice.

    Args:
        model: The model; it is not changed.
        trace: Its trace.
        planned: What can be folded by the graph alone.
        timeout: Seconds for each run.

    Returns:
        A plan after which the model still runs, and calls what it called before.
    """
    while missed := missed_layers(model, trace, planned, timeout):
        planned = make_plan(model, trace, {**planned.keep, **missed})
    return planned


def missed_layers(model: nn.Module, trace: Trace, plan: Plan, timeout: float) -> dict[str, tuple[str, ...]]:
    """The folded layers whose absence the model's own code notices.

    Args:
        model: The model; it is not changed.
        trace: Its trace.
        plan: What is to be folded.
        timeout: Seconds for the run.

    Returns:
        Path of each such layer to the reason, as a template and its names; empty where all is well. Which layer the
        code misses cannot always be told: then it is all that the module holds whose forward fails or runs otherwise.
    """
    if not plan.folds or trace.example is None or not may_notice(model, plan):
        return {}
    values = trace.how is How.RECORDED_WITH_VALUES
    twin = _folded_structure(model, plan, values)
    run = record(twin, trace.example, values=values, timeout=timeout)
    further: tuple[str, ...] = ()
    if run.error is not None:
        template = "the forward of {} needs it ({})"
        owners, further = [_owner_of_error(run.error)], (described(run.error),)
    else:
        template = "the forward of {} runs otherwise without it"
        owners = [_owner_of(node) for node in _first_difference(trace, run, plan)]
    return {
        layer: (template, owner or type(model).__name__, *further)
        for owner in owners
        for layer in _suspects(plan, owner, owners)
    }


def _folded_structure(model: nn.Module, plan: Plan, values: bool) -> nn.Module:
    twin = StructuralCopy(model, cpu_tensor if values else meta_tensor).module
    if values:  # a forward that decides by values must meet those that it will have
        apply_plan(twin, plan)
        return twin
    for path in dict.fromkeys(path for fold in plan.folds for path in fold.into):
        carrier = submodule(twin, path)
        weight = carrier.weight
        if (
            getattr(carrier, "bias", None) is None
            and isinstance(weight, torch.Tensor)
            and "bias" in carrier._parameters
        ):
            size = getattr(carrier, "out_channels", weight.shape[0])
            carrier.bias = nn.Parameter(torch.zeros(size, dtype=weight.dtype, device=weight.device))
    put_remainders(twin, plan)
    return twin


def _suspects(plan: Plan, owner: str, owners: Collection[str]) -> list[str]:
    """The folded layers that a module calls itself; if none of the modules calls any, those below it, or else all."""
    layers = [fold.layer for fold in plan.folds]
    if any(layer.rpartition(".")[0] in owners for layer in layers):
        return [layer for layer in layers if layer.rpartition(".")[0] == owner]
    return [layer for layer in layers if layer.startswith(f"{owner}.")] or layers


def _owner_of_error(error: BaseException) -> str:
    """Path of the innermost module of the user's whose forward raised."""
    modules: list[nn.Module] = []
    step = error.__traceback__
    while step is not None:
        frame = step.tb_frame
        module = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
        if isinstance(module, nn.Module) and not frame.f_globals["__name__"].startswith("torch."):
            modules.append(module)
        step = step.tb_next
    paths = {id(module): path for path, module in named_modules(modules[0])} if modules else {}
    return next((paths[id(module)] for module in reversed(modules) if paths.get(id(module))), "")


def _owner_of(node: fx.Node) -> str:
    layer = str(node.meta.get("layer", ""))
    return layer.rpartition(".")[0] if node.op == "call_module" else str(node.meta.get("module") or "")


def _first_difference(trace: Trace, run: Record, plan: Plan) -> list[fx.Node]:
    """The first calls at which the folded model and the original part; empty where they make the same calls."""
    folded = {fold.layer for fold in plan.folds}
    gone = {call.node: call.input_node for call in trace.norm_calls if call.layer in folded}
    remainders = {
        node: node.all_input_nodes[0]
        for node in run.graph.nodes
        if node.op == "call_module" and node.meta.get("layer") in folded
    }
    twins: dict[fx.Node, fx.Node] = {}
    for before, after in zip_longest(_calls(trace.graph, gone), _calls(run.graph, remainders)):
        if before is None or after is None or _form(before) != _form(after):
            return [node for node in (before, after) if node is not None]
        twins[before] = after
        origins = [twins.get(node) for node in _inputs(before, gone)]
        if origins != _inputs(after, remainders):
            return [before, after]
    return []


def _calls(graph: fx.Graph, gone: Collection[fx.Node]) -> Iterator[fx.Node]:
    return (node for node in graph.nodes if node not in gone and _is_call(node))


def _is_call(node: fx.Node) -> bool:
    return node.op != "get_attr"


def _inputs(node: fx.Node, gone: Mapping[fx.Node, fx.Node | None]) -> list[fx.Node]:
    origins = dict.fromkeys(_origin(source, gone) for source in node.all_input_nodes)
    return [origin for origin in origins if _is_call(origin)]  # a buffer may be cast before it is used


def _origin(node: fx.Node, gone: Mapping[fx.Node, fx.Node | None]) -> fx.Node:
    """Where a value comes from: a layer that gives back its input, as a remainder does, makes no other tensor."""
    while True:
        source = gone.get(node)
        if source is None and _may_give_back(node):
            source = node.all_input_nodes[0]
        if source is None:
            return node
        node = source


def _may_give_back(node: fx.Node) -> bool:
    name = node.meta.get("operator") or operator_name(node.target)
    role = node.meta.get("role")
    return bool(node.all_input_nodes) and (role is Role.DROPOUT or (role is Role.MOVE and name in SAME_AXES))


def _form(node: fx.Node) -> tuple[Any, ...]:
    """What a call is, without its tensors: a folded layer may have a bias where there was none."""
    return (node.op, str(node.target), *map(str, _constants((node.args, node.kwargs))))


def _constants(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _constants(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _constants(item)
    elif not isinstance(value, (fx.Node, type(None), torch.device)):
        yield value
