"""The recorded graph as the model: it can express folds that the user's own class cannot.

There, a BatchNorm that is called as a function becomes a layer, and a layer that is called several times becomes one
layer for each call, so that each call can be folded by itself.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from bnlint.norms.classes import batch_norm_of_rank
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import ARGUMENTS
from bnlint.tracing.trace import NormCall, Trace


def graph_form(trace: Trace) -> fx.GraphModule:
    """Make a `GraphModule` of a recorded model, ready to be folded.

    Args:
        trace: A recorded trace of a model in eval mode, with weights. It is not changed, and neither is the model.

    Returns:
        A module with copies of all weights. It is specialised to the shapes and branches of the traced run.
    """
    original = trace.graph_module()
    functional = {call.node.name: call for call in trace.norm_calls if _is_fixed_function(call)}
    module = copy.deepcopy(original)
    for node in list(module.graph.nodes):
        call = functional.get(node.name)
        if call is not None:
            _as_layer(module, node, call, trace)
    _one_layer_a_call(module)
    module.graph.lint()
    module.recompile()
    return module.eval()


def _is_fixed_function(call: NormCall) -> bool:
    fixed = call.kind is NormKind.BATCH and call.module is None and call.uses_batch_statistics is False
    return fixed and batch_norm_of_rank(len(call.input_shape or ())) is not None


def _as_layer(module: fx.GraphModule, node: fx.Node, call: NormCall, trace: Trace) -> None:
    mean, variance, weight, bias = (_value(call.arguments.get(name), trace) for name in ARGUMENTS)
    source = node.args[0] if node.args else None
    computed = any(
        value is None and call.arguments.get(name) is not None for name, value in (("weight", weight), ("bias", bias))
    )
    kind = batch_norm_of_rank(len(call.input_shape or ()))
    if kind is None or mean is None or variance is None or computed or not isinstance(source, fx.Node):
        return
    layer = kind(mean.numel(), eps=float(call.arguments.get("eps", 1e-5)))
    layer.to(mean.device, mean.dtype).eval()
    with torch.no_grad():
        layer.running_mean, layer.running_var = mean.detach().clone(), variance.detach().clone()
        _fill(layer.weight, weight, 1.0)
        _fill(layer.bias, bias, 0.0)
        counter = layer.num_batches_tracked
        if counter is not None:
            counter.fill_(1)  # statistics that a function is given have been learnt somewhere
    target = f"{call.layer}_batch_norm".lstrip("_").replace(".", "_") + f"_{node.name}"
    module.add_submodule(target, layer)
    with module.graph.inserting_before(node):
        replacement = module.graph.call_module(target, (source,))
    node.replace_all_uses_with(replacement)
    module.graph.erase_node(node)


def _fill(parameter: Tensor, value: Tensor | None, otherwise: float) -> None:
    if value is None:
        parameter.fill_(otherwise)
    else:
        parameter.copy_(value)


def _value(argument: Any, trace: Trace) -> Tensor | None:
    if not isinstance(argument, fx.Node) or argument.op != "get_attr":
        return None
    value = trace.attributes.get(str(argument.target))
    return value if isinstance(value, Tensor) else None


def _one_layer_a_call(module: fx.GraphModule) -> None:
    calls = Counter(node.target for node in module.graph.nodes if node.op == "call_module")
    seen: Counter[Any] = Counter()
    for node in module.graph.nodes:
        if node.op != "call_module" or calls[node.target] == 1:
            continue
        layer = module.get_submodule(node.target)
        if not isinstance(layer, (_ConvNd, nn.Linear, _BatchNorm)):
            continue
        seen[node.target] += 1
        if seen[node.target] > 1:
            target = f"{node.target}_call_{seen[node.target]}"
            module.add_submodule(target, copy.deepcopy(layer))
            node.target = target
