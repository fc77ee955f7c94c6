"""The operators of torch that normalise: kind, order of arguments, what decides the mode.

Sources: https://github.com/pytorch/pytorch, aten/src/ATen/native/native_functions.yaml; torch/nn/functional.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bnlint.norms.kinds import WITH_STATISTICS, NormKind
from bnlint.norms.mode import uses_batch_statistics
from bnlint.norms.tensors import AFFINE, STATISTICS


class NormOperator(NamedTuple):
    """An operator, or a function of `torch.nn.functional`, that normalises.

    Attributes:
        name: Its name without namespace and overload.
        kind: What it does.
        arguments: Names of its arguments in their order, as far as facts and folds ask for them.
        mode: Whether it normalises by the batch, where that is fixed, or the argument that says so; `None` for kinds
            that can do nothing else than to normalise by the values at hand.
        optional: Arguments that a call may leave out, with the values that torch then takes, as far as they are asked
            for.
    """

    name: str
    kind: NormKind
    arguments: tuple[str, ...]
    mode: bool | str | None = None
    optional: Mapping[str, Any] = {}

    def training(self, arguments: Mapping[str, Any]) -> bool | None:
        """The flag that a call obeys; `None` where it is computed, and for kinds without a mode."""
        flag = arguments.get(self.mode) if isinstance(self.mode, str) else self.mode
        return bool(flag) if isinstance(flag, int) else None

    def uses_batch_statistics(self, arguments: Mapping[str, Any]) -> bool | None:
        """Whether a call normalises by the values at hand; `None` where its flag is computed.

        Args:
            arguments: Its arguments by name, those that are left out at their defaults.
        """
        statistics = self.mode is False or arguments.get(STATISTICS[0]) is not None
        return uses_batch_statistics(self.kind, training=self.training(arguments), statistics=statistics)


_TENSORS: Final = ("input", *AFFINE, *STATISTICS)
_NUMBERS: Final = ("momentum", "eps")
_FLAGGED: Final = (*_TENSORS, "training", *_NUMBERS)
_EPS: Final = {"eps": 1e-5}


def _batch_norms() -> tuple[NormOperator, ...]:
    flagged = (
        "batch_norm", "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional",
        "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_impl_index",
    )  # fmt: skip
    always = ("_batch_norm_with_update", "_batch_norm_with_update_functional")
    never = ("_native_batch_norm_legit_no_training", "_batch_norm_no_update")
    return (
        *(NormOperator(name, NormKind.BATCH, _FLAGGED, "training") for name in flagged),
        *(NormOperator(name, NormKind.BATCH, (*_TENSORS, *_NUMBERS), mode=True) for name in always),
        *(NormOperator(name, NormKind.BATCH, (*_TENSORS, *_NUMBERS), mode=False) for name in never),
    )


OPERATORS: Final = {
    operator.name: operator
    for operator in (
        *_batch_norms(),
        NormOperator(
            "instance_norm", NormKind.INSTANCE, (*_TENSORS, "use_input_stats", *_NUMBERS), "use_input_stats",
        ),
        NormOperator("layer_norm", NormKind.LAYER, ("input", "normalized_shape", *AFFINE, "eps"), optional=_EPS),
        NormOperator("native_layer_norm", NormKind.LAYER, ("input", "normalized_shape", *AFFINE, "eps")),
        NormOperator("group_norm", NormKind.GROUP, ("input", "num_groups", *AFFINE, "eps"), optional=_EPS),
        NormOperator("native_group_norm", NormKind.GROUP, ("input", *AFFINE, "N", "C", "HxW", "num_groups", "eps")),
        NormOperator("rms_norm", NormKind.RMS, ("input", "normalized_shape", "weight", "eps")),
        NormOperator("_fused_rms_norm", NormKind.RMS, ("input", "normalized_shape", "weight", "eps")),
    )
}  # fmt: skip
"""Operators of torch, as it calls them (`aten::batch_norm`, `torch.batch_norm`), by name."""

_OF_FUNCTIONS: Final = ("input", *STATISTICS, *AFFINE)

FUNCTIONS: Final = {
    function.name: function
    for function in (
        NormOperator(
            "batch_norm", NormKind.BATCH, (*_OF_FUNCTIONS, "training", *_NUMBERS), "training",
            {"training": False, **_EPS},
        ),
        NormOperator(
            "instance_norm", NormKind.INSTANCE, (*_OF_FUNCTIONS, "use_input_stats", *_NUMBERS), "use_input_stats",
            {"use_input_stats": True, **_EPS},
        ),
        OPERATORS["layer_norm"],
        OPERATORS["group_norm"],
        OPERATORS["rms_norm"],
        NormOperator("local_response_norm", NormKind.LOCAL_RESPONSE, ("input", "size", "alpha", "beta", "k")),
    )
}  # fmt: skip
"""Functions of `torch.nn.functional` by name; some take their arguments in another order."""

BY_NAME: Final = {**FUNCTIONS, **OPERATORS}
"""All of them, whatever the order of their arguments."""

MODES: Final = ("training", "use_input_stats")
"""The arguments that say the mode."""

KEEPING_STATISTICS: Final = frozenset(name for name in OPERATORS if OPERATORS[name].kind in WITH_STATISTICS)
"""Names of those that take running statistics."""

CANONICAL: Final = {"exponential_average_factor": "momentum", "epsilon": "eps", "group": "num_groups"}
"""What some operators call an argument otherwise than the others."""
