"""The notes of the parity table: of which layers a fact is unknown, and where a form rightly says another thing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import ANY

from torch import nn

from tests.parity.case import BY_HAND, Case
from tests.parity.subjects import Small


@dataclass(frozen=True)
class Note:
    """Why a form does not say what the live model says.

    Attributes:
        reason: For people.
        unknown: Whether the fact is unknown.
        value: What the form says of the others, given what the live model says; the same by default.
    """

    reason: str
    unknown: Callable[[Case], object] = lambda _: False
    value: Callable[[Case, Any], Any] = lambda _, live: live


def _is_told_by_name(case: Case) -> bool:
    name = str(case.norm.class_name)
    return hasattr(nn, name) or name.endswith(("Norm1d", "Norm2d", "Norm3d"))


def _ignores_eval(case: Case, live: bool) -> bool:
    if case.column == "traced" and not case.baked:
        return live
    exported_as_inference = case.column == "onnx" and case.keeps_statistics
    return case.is_batch_norm and bool(case.norm.uses_batch_statistics) and not exported_as_inference


def _some_others_train(case: Case) -> bool:
    trained = any(
        norm.kind == "batch_norm" and norm.has_running_statistics and norm.uses_batch_statistics
        for norm in case.table.norms
    )
    return trained and case.is_batch_norm and not case.norm.uses_batch_statistics


def _loses_average(case: Case) -> bool:
    norm = case.norm
    averages = norm.kind in ("batch_norm", "instance_norm") and norm.momentum is None and not norm.training
    if case.column == "onnx":
        return averages or norm.kind == "instance_norm"
    if case.by_hand:
        return case.column == "program"  # a traced one has its attributes, and no momentum is among them
    return averages or case.absent


def _loses_eps(case: Case) -> bool:
    if case.norm.kind in ("rms_norm", "local_response_norm"):
        return case.norm.kind == "rms_norm"  # built with the default, which the class chooses by data type
    return case.by_hand if case.column == "onnx" else case.absent


def _dropout_lines(case: Case) -> frozenset[str]:
    if not (case.model.training and case.model.class_name == "Small"):
        return frozenset()
    lines, start = inspect.getsourcelines(Small)
    calls = [start + offset for offset, line in enumerate(lines) if "self.dropout(" in line]
    return frozenset(f"tests/parity/subjects.py:{line}" for line in calls)


def _is_left_in_onnx(case: Case, _: object) -> bool | None:
    if not case.is_batch_norm:
        return None
    right_after = case.norm.fed_by in (frozenset({"convolution"}), frozenset({"linear"}))
    return right_after and case.keeps_statistics


def _counted(case: Case, *, batch_norms_only: bool) -> int:
    kinds = {norm.layer: norm.kind for norm in case.table.norms if norm.layer in case.shown and not norm.functional}
    return sum(kind == "batch_norm" or not batch_norms_only for kind in kinds.values())


def _calls(case: Case, _: object) -> int:
    lost = BY_HAND if case.column == "program" else ("LocalResponseNorm",)
    return sum(norm.calls != 0 and norm.class_name not in lost for norm in case.table.norms)


def _trained(case: Case, _: object) -> int:
    norms = case.table.norms
    return sum(
        norm.kind == "batch_norm" and norm.training is True and norm.has_running_statistics is True for norm in norms
    )


_IN_PARTS = "in parts: ONNX has no operator for the layer"
_COMPUTED = "computed by hand: the class does the arithmetic in Python"

NOTES: Final = {
    # Of layers.
    "kind": Note("unknown where the names of the weights fit several kinds", lambda c: c.norm.layer in c.ambiguous),
    "dims": Note("unknown of a class outside torch, unless its name says it", lambda c: not _is_told_by_name(c)),
    "graph": Note(
        "unknown of BatchNorm: takes a graph, and for folding the modules",
        lambda c: c.is_batch_norm or c.norm.layer in c.ambiguous,
    ),
    "follows": Note(
        "unknown of BatchNorm that follows its flag: takes a graph", lambda c: c.is_batch_norm and c.keeps_statistics
    ),
    "none": Note("null: a program has no flags", value=lambda c, live: None),
    "flags": Note(
        "null: a program has no flags; unknown of layers that it does not call", lambda c: c.absent, lambda c, _: None
    ),
    "baked": Note("null where tracing fixed the mode", value=lambda c, live: None if c.baked else live),
    "ignores": Note(
        "true of layers exported or traced in training mode: no flag of the program changes it",
        lambda c: (c.column == "program" and c.absent) or (c.column == "onnx" and c.by_hand),
        _ignores_eval,
    ),
    "inference": Note(
        "false of layers in training mode: the exporter writes inference, and BN112 tells; unknown of layers in parts",
        lambda c: c.by_hand or c.instance_in_eval,
        lambda c, live: live and not (c.is_batch_norm and c.keeps_statistics),
    ),
    "absent": Note("unknown of layers that the program does not call, or computed by hand", lambda c: c.absent),
    "by_hand": Note(f"unknown of layers {_COMPUTED}", lambda c: c.by_hand),
    "code": Note(
        "unknown of BatchNorm that is never called, or computed by hand", lambda c: c.is_batch_norm and c.absent
    ),
    "held": Note(
        "unknown of layers in eval mode beside others in training mode: held, or the others forgotten",
        lambda c: c.absent or _some_others_train(c),
    ),
    "average": Note(
        "unknown where eval mode wrote 0, as for a cumulative average, and where there is no operator", _loses_average
    ),
    "eps": Note(
        "unknown where there is no operator, and of RMSNorm with the default",
        _loses_eps,
    ),
    "takes_eps": Note(
        "unknown of layers with statistics whose eps is unknown",
        lambda c: c.keeps_statistics and (c.column == "weights" or c.absent),
    ),
    "parts": Note(f"unknown of layers {_IN_PARTS}", lambda c: c.in_parts),
    "apart": Note(
        f"unknown of layers {_IN_PARTS}; and of functions, whose scale of ones the graph makes",
        lambda c: c.in_parts or c.norm.functional,
    ),
    "scale": Note(
        f"unknown of layers {_IN_PARTS}; and of functions, whose scale of ones the graph makes",
        lambda c: (c.in_parts and c.norm.kind != "rms_norm") or c.norm.functional,
    ),
    "dropped": Note(
        "unknown of layers in parts; false of InstanceNorm in training mode, whose statistics the exporter leaves out",
        lambda c: c.by_hand or c.instance_in_eval,
        lambda c, live: live and not c.instance_in_training,
    ),
    "without": Note(
        "unknown of layers in parts; null of InstanceNorm in training mode, whose statistics the exporter leaves out",
        lambda c: c.by_hand or c.instance_in_eval,
        lambda c, live: None if c.instance_in_training else live,
    ),
    "others": Note(
        "unknown beside layers in parts; null of InstanceNorm in training mode",
        lambda c: c.keeps_statistics and c.some_are_apart,
        lambda c, live: None if c.instance_in_training else live,
    ),
    "no_counter": Note("false: the exporter leaves the counter out", value=lambda c, _: False),
    "counter": Note("null: the exporter leaves the counter out", value=lambda c, _: None),
    "dropout": Note(
        "unknown of a model exported in eval mode, whose dropout the exporter leaves out",
        lambda c: not (c.norm.model_training and c.norm.dropout_before),
    ),
    "left": Note("a fact of ONNX files alone", value=_is_left_in_onnx),
    # Of the model.
    "form": Note("the form", value=lambda c, _: c.form.form),
    "file": Note("what the file itself calls, be it as it may", value=lambda c, _: ANY),
    "drops": Note("lines of dropout that was exported in training mode", value=lambda c, _: _dropout_lines(c)),
    "trained": Note("a fact of ONNX files alone", value=_trained),
    "shown": Note("those that the form shows", value=lambda c, _: _counted(c, batch_norms_only=False)),
    "shown_batch": Note(
        "those that the form shows; unknown where a kind is",
        lambda c: not c.shown.isdisjoint(c.ambiguous),
        lambda c, _: _counted(c, batch_norms_only=True),
    ),
    "road": Note("`exported`, or `none`", value=lambda c, _: "exported" if c.column in ("program", "onnx") else "none"),
    "data": Note("no code that bnlint runs", value=lambda c, _: False),
    "calls": Note(f"less those of layers {_COMPUTED}", value=_calls),
}
"""By the keys that stand in the table."""
