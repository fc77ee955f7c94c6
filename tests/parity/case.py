"""One record of a form beside that of the live model, and what the notes of the parity table ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from tests.parity.forms import Form

BY_HAND: Final = ("FrozenBatchNorm2d", "LocalResponseNorm")
AMBIGUOUS: Final = frozenset({"plain_instance", "bn_stateless"})
"""Layers of which weights hold no statistics: they fit several kinds, unless the versions and the name agree on one."""
TOLD_BY_VERSION: Final = frozenset({"bn_stateless"})


@dataclass(frozen=True)
class Case:
    """One record of a form.

    Attributes:
        form: The form.
        live: The record of the live model; `None` for the facts of the model.
        table: All that is known of the live model.
        shown: Paths of the layers that the form shows.
    """

    form: Form
    live: NormFacts | None
    table: FactTable
    shown: frozenset[str]

    @property
    def column(self) -> str:
        return self.form.column

    @property
    def norm(self) -> NormFacts:
        """The record of the live layer."""
        assert self.live is not None
        return self.live

    @property
    def ambiguous(self) -> frozenset[str]:
        """The layers whose kind the form leaves open."""
        if self.column != "weights":
            return frozenset()
        return AMBIGUOUS - TOLD_BY_VERSION if self.form.versions else AMBIGUOUS

    @property
    def is_batch_norm(self) -> bool:
        return self.norm.kind == "batch_norm"

    @property
    def keeps_statistics(self) -> bool:
        return self.norm.has_running_statistics is True

    @property
    def by_hand(self) -> bool:
        """Whether the class does the arithmetic in Python: a program then has the arithmetic and not the layer."""
        return self.norm.class_name in BY_HAND

    @property
    def absent(self) -> bool:
        """Whether a program has no operator of the layer, though perhaps its tensors."""
        return self.by_hand or self.norm.calls == 0

    @property
    def instance_in_eval(self) -> bool:
        """An InstanceNorm that normalises by its running statistics, for which ONNX has no operator."""
        return self.norm.kind == "instance_norm" and self.keeps_statistics and not self.norm.training

    @property
    def instance_in_training(self) -> bool:
        return self.norm.kind == "instance_norm" and self.keeps_statistics and self.norm.training is True

    @property
    def in_parts(self) -> bool:
        """Whether an ONNX file has several operators for the layer."""
        return self.norm.kind in ("group_norm", "rms_norm") or self.by_hand or self.instance_in_eval

    @property
    def baked(self) -> bool:
        """Whether a traced program fixes the mode of the layer."""
        return self.norm.kind in ("batch_norm", "instance_norm") and self.keeps_statistics and not self.absent

    @property
    def some_are_apart(self) -> bool:
        """Whether any layer that may keep statistics is written in parts."""
        others = (Case(self.form, norm, self.table, self.shown) for norm in self.table.norms)
        return any(other.in_parts and other.norm.kind in ("batch_norm", "instance_norm") for other in others)

    @property
    def model(self) -> ModelFacts:
        return self.table.model
