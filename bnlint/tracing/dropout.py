"""What each call of a graph drops at random: one reading of dropout for facts and folding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from bnlint.tracing.arguments import argument
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import operator_name
from bnlint.tracing.source import location, location_of_call
from bnlint.user_objects import attribute, is_set

_WHOLE_BRANCHES = frozenset({"stochastic_depth", "drop_path", "DropPath", "StochasticDepth"})
_VARIANCE_KEPT = frozenset({
    "alpha_dropout", "feature_alpha_dropout", "AlphaDropout", "FeatureAlphaDropout",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Signature:
    """Where a function takes its probability and its flag, each as position, name and default."""

    probability: tuple[int, str, float] = (1, "p", 0.5)
    training: tuple[int, str, bool] | None = (2, "training", True)


_PLAIN = _Signature()
_FUNCTIONS: dict[str, _Signature] = {
    "alpha_dropout": _Signature(training=(2, "training", False)),
    "feature_alpha_dropout": _Signature(training=(2, "training", False)),
    "stochastic_depth": _Signature(training=(3, "training", True)),
    "drop_path": _Signature((1, "drop_prob", 0.0), (2, "training", False)),
    "scaled_dot_product_attention": _Signature((4, "dropout_p", 0.0), None),
    "_scaled_dot_product_flash_attention": _Signature((3, "dropout_p", 0.0), None),
    "_scaled_dot_product_flash_attention_for_cpu": _Signature((3, "dropout_p", 0.0), None),
    "_scaled_dot_product_efficient_attention": _Signature((5, "dropout_p", 0.0), None),
    "multi_head_attention_forward": _Signature((10, "dropout_p", 0.0), (13, "training", True)),
}
"""Functions that differ from `F.dropout(input, p=0.5, training=True)`."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """What one call drops.

    Attributes:
        probability: Chance that a value is dropped where dropout is active, from 0 to 1.
        training: The flag that the call obeys: that of its module during the call, or its argument. True for attention
            functions, which have a probability and no flag.
        of_a_function: Whether a function is called, whose flag `eval()` does not set.
        changes_variance: Whether the variance of single values differs between training and inference. It does not
            for AlphaDropout, which is made to keep it. Stochastic depth drops whole branches of whole samples.
    """

    probability: float
    training: bool
    of_a_function: bool
    changes_variance: bool

    @property
    def active(self) -> bool:
        """Whether values are dropped in the mode that the model is in."""
        return self.training and self.probability > 0


def dropout_of(node: fx.Node, attributes: Mapping[str, Any]) -> Dropout | None:
    """The dropout of a call.

    Args:
        node: A node of a trace, with its `role`.
        attributes: What the targets of the graph stand for.

    Returns:
        `None` for calls that have none: neither dropout nor attention.
    """
    if node.meta.get("role") not in (Role.DROPOUT, Role.ATTENTION):
        return None
    if node.op == "call_module":
        module = attributes[str(node.target)]
        return _of_module(module, node.meta.get("training", is_set(module, "training")))
    name = operator_name(node.target)
    is_attention = node.meta["role"] is Role.ATTENTION
    if is_attention and name not in _FUNCTIONS:
        return None
    signature = _FUNCTIONS.get(name, _PLAIN)
    training = True
    if signature.training is not None:
        position, flag, default = signature.training
        given = argument(node, position, flag, argument(node, position, "train", default))
        training = given is None or bool(given)  # `native_dropout` takes None for True
    changes = not is_attention and name not in _WHOLE_BRANCHES | _VARIANCE_KEPT
    return Dropout(_probability(argument(node, *signature.probability)), training, True, changes)


def place_of_call(node: fx.Node) -> str:
    """Where a call stands in the user's code, such as `model.py:12`; the name of the call where that is not known."""
    frame = node.meta.get("stack")
    found = location(frame) if frame else location_of_call(node)
    return f"{found.file}:{found.line}" if found is not None else str(node.meta.get("call_name") or node.name)


def _of_module(module: nn.Module, training: bool) -> Dropout:
    names = {base.__name__ for base in type(module).__mro__}
    values = (attribute(module, name) for name in ("p", "drop_prob", "dropout"))
    probability = next((value for value in values if isinstance(value, (int, float))), None)
    unknown = "_DropoutNd" in names and probability is None
    changes = "_DropoutNd" in names and names.isdisjoint(_VARIANCE_KEPT)
    return Dropout(1.0 if unknown else _probability(probability), training, False, changes)


def _probability(value: object) -> float:
    """A probability as given: none at all counts as 0, one that is computed in the run as 1."""
    if value is None:
        return 0.0
    return float(value) if isinstance(value, (int, float)) else 1.0
