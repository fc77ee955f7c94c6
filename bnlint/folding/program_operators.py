"""Layers out of the operators that an exported program calls on weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvTransposeNd

from bnlint.norms.classes import batch_norm_of_rank
from bnlint.norms.kinds import NormKind
from bnlint.norms.tensors import ARGUMENTS
from bnlint.tracing.operator_calls import kind_of_operator, norm_arguments, operator_of
from bnlint.tracing.roles import operator_name

Arguments = Mapping[str, Any]

_PLAIN: Sequence[type[nn.Module]] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED: Sequence[type[nn.Module]] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call of an operator by the names of its schema, defaults included."""
    operator = operator_of(node)
    if operator is not None:
        return dict.fromkeys(operator.arguments) | norm_arguments(node)
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | dict(node.kwargs)
    return {
        argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()
    } | given


def source_of(node: fx.Node) -> fx.Node | None:
    """What such a call works on."""
    source = arguments_of(node).get("mat1" if operator_name(node.target) == "addmm" else "input")
    return source if isinstance(source, fx.Node) else None


def tensors_of(node: fx.Node) -> dict[str, fx.Node | None]:
    """The weights of such a call by the names that they have in a layer; `None` for one that it does without."""
    arguments = arguments_of(node)
    if operator_name(node.target) == "addmm":
        return {"weight": _untransposed(arguments["mat2"]), "bias": arguments["self"]}
    return {name: arguments[name] for name in ARGUMENTS if name in arguments}


def build(node: fx.Node, tensors: Mapping[str, Tensor | None]) -> nn.Module | None:
    """The layer that computes what a call computes.

    Args:
        node: A call of an operator.
        tensors: The values of `tensors_of`; the layer gets the same objects.

    Returns:
        The layer; `None` where there is none.
    """
    is_norm = kind_of_operator(node) is NormKind.BATCH
    builder = _norm if is_norm else _BUILDERS.get(operator_name(node.target))
    source = source_of(node)
    if builder is None or source is None:
        return None
    layer = builder({**arguments_of(node), **tensors}, len(getattr(source.meta.get("val"), "shape", ())))
    if layer is None:
        return None
    for name in ("weight", "bias"):
        value = tensors.get(name)
        if value is not None and not isinstance(value, nn.Parameter):
            return None
        setattr(layer, name, value)
    return layer.eval()


def _untransposed(node: Any) -> fx.Node | None:
    """The weight of a linear layer in core operators: `addmm(bias, x, permute(weight, [1, 0]))`."""
    if not isinstance(node, fx.Node) or operator_name(node.target) not in ("permute", "t"):
        return None
    source = node.args[0]
    return source if isinstance(source, fx.Node) else None


def _norm(arguments: Arguments, rank: int) -> nn.Module | None:
    mean, affine = arguments["running_mean"], arguments["weight"] is not None
    kind = batch_norm_of_rank(rank)
    if kind is None or mean is None or affine is (arguments["bias"] is None):
        return None
    layer = kind(mean.numel(), eps=float(arguments["eps"]), affine=affine, device="meta")
    layer.running_mean, layer.running_var, layer.num_batches_tracked = mean, arguments["running_var"], None
    return layer


def _convolution(kind: type[nn.Module] | None, arguments: Arguments, rank: int) -> nn.Module | None:
    weight: Tensor = arguments["weight"]
    if rank != weight.dim():  # without a batch axis
        return None
    dimensions, groups = rank - 2, int(arguments["groups"])
    kind = kind or (_TRANSPOSED if arguments["transposed"] else _PLAIN)[dimensions - 1]
    is_transposed = issubclass(kind, _ConvTransposeNd)
    outer, inner = weight.shape[0], weight.shape[1] * groups
    names = ("stride", "padding", "dilation", *(("output_padding",) if is_transposed else ()))
    return kind(
        *((outer, inner) if is_transposed else (inner, outer)),
        tuple(weight.shape[2:]),
        groups=groups,
        bias=arguments["bias"] is not None,
        device="meta",
        **{name: _sizes(arguments[name], dimensions) for name in names},
    )


def _sizes(value: Any, dimensions: int) -> Any:
    """One number for each dimension; the words `same` and `valid` as they are."""
    if isinstance(value, str):
        return value
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return values * dimensions if len(values) == 1 else values


def _linear(arguments: Arguments, _: int) -> nn.Module | None:
    if arguments.get("beta", 1) != 1 or arguments.get("alpha", 1) != 1:
        return None
    outputs, inputs = arguments["weight"].shape
    return nn.Linear(inputs, outputs, bias=arguments["bias"] is not None, device="meta")


_BUILDERS: Mapping[str, Callable[[Arguments, int], nn.Module | None]] = {
    **{f"conv{number}d": partial(_convolution, kind) for number, kind in enumerate(_PLAIN, 1)},
    **{f"conv_transpose{number}d": partial(_convolution, kind) for number, kind in enumerate(_TRANSPOSED, 1)},
    "convolution": partial(_convolution, None),
    "linear": _linear,
    "addmm": _linear,
}
