"""What a call in a graph normalises, and what it is given: of recorded graphs and of programs alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from torch import fx
from torch._ops import OpOverload

from bnlint.norms.functions import arguments_of, norm_operator
from bnlint.norms.kinds import NormKind
from bnlint.norms.operators import NormOperator
from bnlint.norms.tensors import ARGUMENTS
from bnlint.tracing.roles import operator_name

_CHANGES: Final = frozenset({"view", "reshape", "repeat"})
"""How the decomposition of an InstanceNorm makes a batch of one sample, and its tensors as long."""


def operator_of(node: fx.Node) -> NormOperator | None:
    """The operator or function that a call is of; `None` where it does not normalise."""
    return norm_operator(node.target) if node.op == "call_function" else None


def kind_of_operator(node: fx.Node) -> NormKind | None:
    """The kind of normalisation that a call of a function does; `None` where it does none."""
    operator = operator_of(node)
    if operator is None:
        return None
    return NormKind.INSTANCE if _is_decomposed_instance_norm(node, operator) else operator.kind


def norm_arguments(node: fx.Node) -> dict[str, Any]:
    """What a call that normalises is given, by the names of `NormOperator.arguments`; empty for other calls."""
    operator = operator_of(node)
    if operator is None:
        return {}
    arguments = arguments_of(operator, node.target, node.args, node.kwargs)
    if _is_decomposed_instance_norm(node, operator):
        return {name: value.args[0] if _is_called(value, _CHANGES) else value for name, value in arguments.items()}
    return arguments


def attribute_of(argument: object) -> str:
    """Name of the parameter or buffer that an argument is; empty for any other.

    An exported graph takes them as inputs, which say what they stand for; any other reads them.
    """
    if not isinstance(argument, fx.Node):
        return ""
    return str(argument.meta.get("attribute", argument.target if argument.op == "get_attr" else ""))


def _is_decomposed_instance_norm(node: fx.Node, operator: NormOperator) -> bool:
    """Whether a call is what `run_decompositions()` makes of an InstanceNorm.

    That is a BatchNorm of (N, C, …) viewed as (1, N·C, …), with its tensors repeated for each sample, so that it says
    nothing of a batch. torch notes on it which function of `torch` was called, and keeps the note in files; a graph
    that is live runs without notes, and shows the repeated tensors.
    """
    if operator.kind is not NormKind.BATCH or not isinstance(node.target, OpOverload):
        return False
    if str((node.meta.get("torch_fn") or ("",))[-1]).endswith(".instance_norm"):
        return True
    return _repeats_all(arguments_of(operator, node.target, node.args, node.kwargs))


def _repeats_all(arguments: Mapping[str, Any]) -> bool:
    given = [arguments[name] for name in ARGUMENTS if arguments.get(name) is not None]
    return bool(given) and all(_is_called(value, {"repeat"}) for value in given)


def _is_called(value: object, names: Collection[str]) -> bool:
    # A child that is called `repeat` gives tensors such a name, too.
    return isinstance(value, fx.Node) and value.op == "call_function" and operator_name(value.target) in names
