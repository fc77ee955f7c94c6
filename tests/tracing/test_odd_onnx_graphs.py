"""Graphs of calls that take, give and say anything: each is read or refused in a sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

import bnlint
from bnlint.errors import BnlintError
from tests.artifacts.onnx_models import CONV_NORM, VALUES, noted, saved

OPERATORS = (
    "Conv", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "Relu",
    "Gemm", "MatMul", "Add", "Mul", "Sigmoid", "Concat", "Split", "Pad", "Clip", "Dropout", "Transpose", "Reshape",
    "Gather", "Identity", "Softmax", "MaxPool", "GlobalAveragePool", "LSTM", "Constant", "Resize", "Upsample", "If",
)  # fmt: skip
NAMES = ("axis", "perm", "epsilon", "momentum", "training_mode", "ratio", "group", "num_groups", "size", "value")
SAID = st.sampled_from([0, -1, 1 << 62, 1e-5, float("nan"), "text", [0, 1, 2, 3], [1 << 62] * 4, [0.5]])
CLASSES = st.lists(st.sampled_from(["x.BatchNorm2d", "x.GroupNorm", "aten.batch_norm.default", "aten.gelu.default"]))


@st.composite
def graphs(draw: st.DrawFn) -> list[onnx.NodeProto]:
    """Calls of which each may take what those before it made, among the calls of a sound graph."""
    place = draw(st.integers(0, len(CONV_NORM)))
    names = ["x", *VALUES, "", *(call.output[0] for call in CONV_NORM[:place])]
    calls = []
    for number in range(draw(st.integers(1, 4))):
        inputs = draw(st.lists(st.sampled_from(names), max_size=6))
        outputs = draw(st.lists(st.sampled_from([f"a{number}", f"b{number}", ""]), max_size=3))
        names += filter(None, outputs)
        call = helper.make_node(draw(st.sampled_from(OPERATORS)), inputs, outputs)
        said: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), SAID, max_size=3))
        call.attribute.extend(helper.make_attribute(name, value) for name, value in said.items())
        calls.append(noted(call, draw(st.lists(st.sampled_from(["", "a.b"]), max_size=2)), draw(CLASSES)))
    return [*CONV_NORM[:place], *calls, *CONV_NORM[place:]]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=graphs(), shape=st.sampled_from([(2, 3, 8, 8), ("batch", 3, None, 8), (), (-1, 3, 0, 8), (1 << 40,) * 4]))
def test_any_graph_is_read_or_refused(calls: list[onnx.NodeProto], shape: tuple[Any, ...], tmp_path: Path) -> None:
    with contextlib.suppress(BnlintError):
        assert bnlint.check(saved(tmp_path / "model", calls, shape=shape), batch_size=4).coverage.form == "onnx"
