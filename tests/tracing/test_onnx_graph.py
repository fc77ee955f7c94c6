from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch import nn

import bnlint
import tests.torchvision_ops  # noqa: F401 — before torchvision
from bnlint.artifacts import onnx_file
from bnlint.artifacts.inert.onnx_contents import read_onnx
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from tests.artifacts.onnx_models import CONV_NORM, NORM, VALUES, call, noted, saved
from tests.models import with_plausible_statistics

NORMALISE = call("BatchNormalization", ["before", *NORM], "after", epsilon=1e-3)
SQUARE = VALUES | {"fc.weight": numpy.ones((4, 4), "f"), "fc.bias": numpy.ones(4, "f")}


@pytest.fixture(autouse=True)
def without_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting one takes longer than all else; `tests/artifacts/test_onnx.py` has it."""
    monkeypatch.setattr(onnx_file, "ask_child", lambda form, path, name, result: read_onnx(path))


@pytest.fixture
def facts_of(tmp_path: Path) -> Any:
    def facts(*args: Any, **options: Any) -> NormFacts:
        return bnlint.inspect(saved(tmp_path / "model.onnx", *args, **options)).norms[0]

    return facts


def test_what_is_read_of_a_batch_normalization(facts_of: Any) -> None:
    facts = facts_of()
    assert (facts.layer, facts.kind, facts.channels, facts.input_shape) == ("bn", "batch_norm", 4, (2, 4, 6, 6))
    assert (facts.eps, facts.momentum) == (1e-3, 0.25)  # ONNX: the share of the old statistics
    assert facts.uses_batch_statistics is False
    assert facts.fed_by == {"convolution"}
    assert facts.feeds == {"activation"}
    assert facts.left_in_onnx is True


def test_defaults_of_the_operator(facts_of: Any) -> None:
    facts = facts_of([call("BatchNormalization", ["x", *NORM], "y")], shape=(2, 4))
    assert (facts.eps, facts.momentum, facts.fed_by, facts.left_in_onnx) == (1e-5, 0.1, frozenset({"input"}), False)


@pytest.mark.parametrize("momentum", [1.0, -1.0, 2.0])
def test_a_momentum_that_means_nothing_is_unknown(momentum: float, facts_of: Any) -> None:
    assert facts_of([call("BatchNormalization", ["x", *NORM], "y", momentum=momentum)]).momentum is UNKNOWN


@pytest.mark.parametrize(
    ("opset", "outputs", "attributes", "trains"),
    [
        (18, 1, {}, False),
        (18, 3, {"training_mode": 1}, True),
        (14, 1, {"training_mode": 0}, False),
        (9, 1, {}, False),
        (9, 5, {}, True),
        (6, 1, {"is_test": 1}, False),
        (6, 5, {}, True),
        (6, 1, {}, UNKNOWN),
    ],
)
def test_each_version_says_the_mode_in_its_own_way(
    opset: int, outputs: int, attributes: dict[str, int], trains: bool, facts_of: Any
) -> None:
    names = ["after", "mean", "variance", "saved_mean", "saved_variance"][:outputs]
    calls = [call("BatchNormalization", ["x", *NORM], *names, **attributes), call("Relu", ["after"], "y")]
    facts = facts_of(calls, shape=(2, 4, 8, 8), opset=opset)
    assert facts.uses_batch_statistics is trains
    assert facts.ignores_eval is trains
    assert facts.feeds == {"activation"}


@pytest.mark.parametrize(
    ("calls", "fed_by"),
    [
        ([call("Relu", ["x"], "before")], "activation"),
        ([call("Clip", ["x"], "before")], "activation"),
        ([call("Sigmoid", ["x"], "gate"), call("Mul", ["x", "gate"], "before")], "activation"),
        ([call("Sigmoid", ["x"], "gate"), call("Mul", ["gate", "other"], "before")], "multiplication"),
        ([call("Gemm", ["x", "fc.weight", "fc.bias"], "before")], "linear"),
        ([call("MatMul", ["x", "fc.weight"], "before")], "linear"),
        ([call("MatMul", ["x", "fc.weight"], "p"), call("Add", ["fc.bias", "p"], "before")], "linear"),
        ([call("MatMul", ["x", "other"], "before")], "matmul"),
        ([call("MatMul", ["x", "other"], "p"), call("Add", ["fc.bias", "p"], "before")], "addition"),
        ([call("Dropout", ["x"], "before")], "input"),
        ([call("Transpose", ["x"], "before", perm=[1, 0])], "input"),
        ([call("Identity", ["x"], "before")], "input"),
        ([call("Concat", ["x", "other"], "before", axis=0)], "input"),
        ([call("Softmax", ["x"], "before")], "softmax"),
        ([call("Erf", ["x"], "before")], "other"),
    ],
)
def test_operators_have_the_roles_of_torch(calls: list[onnx.NodeProto], fed_by: str, facts_of: Any) -> None:
    given = {"other": (4, 4)}
    facts = facts_of([*calls, NORMALISE], SQUARE, shape=(4, 4), inputs=given, output="after")
    assert facts.fed_by == {fed_by}


def test_an_embedding_is_a_gather_from_weights(facts_of: Any) -> None:
    calls = [call("Gather", ["fc.weight", "ids"], "before"), NORMALISE]
    assert facts_of(calls, SQUARE, inputs={"ids": (2,)}, output="after").fed_by == {"embedding"}


@pytest.mark.parametrize("operator", ["of.another::Library", "NoSuchOperator"])
def test_what_an_unknown_operator_gives_is_unknown(operator: str, facts_of: Any) -> None:
    domain, _, name = operator.rpartition("::")
    unknown = helper.make_node(name, ["x"], ["before"], domain=domain)
    facts = facts_of([unknown, NORMALISE], shape=(4, 4), output="after")
    assert facts.fed_by is UNKNOWN


@pytest.mark.parametrize(
    "odd", [call("Relu", ["x"]), call("Relu", ["x"], ""), call("Gather", ["conv.weight"], "g"), call("Dropout", [])]
)
def test_calls_that_take_or_give_too_little_hinder_nothing(odd: onnx.NodeProto, facts_of: Any) -> None:
    assert facts_of([odd, *CONV_NORM]).layer == "bn"


def test_a_call_with_graphs_of_its_own_is_unknown(facts_of: Any) -> None:
    branch = helper.make_graph(
        [call("Relu", ["x"], "inner")], "branch", [], [helper.make_tensor_value_info("inner", 1, None)]
    )
    condition = numpy.array(True)
    calls = [call("If", ["condition"], "before", then_branch=branch, else_branch=branch), NORMALISE]
    facts = facts_of(calls, VALUES | {"condition": condition}, shape=(4, 4), output="after")
    assert facts.fed_by is UNKNOWN


def test_normalisation_in_a_branch_is_not_taken_for_none(tmp_path: Path) -> None:
    """A whole model in an `If`, as it is where the rate of a sound chooses among two."""
    results = [helper.make_tensor_value_info("inner", 1, None)]
    deep = helper.make_graph([call("BatchNormalization", ["x", *NORM], "inner")], "deep", [], results)
    branch = helper.make_graph([call("If", ["rate"], "inner", then_branch=deep, else_branch=deep)], "b", [], results)
    constants = VALUES | {"rate": numpy.array(True)}
    path = saved(tmp_path / "m.onnx", [call("If", ["rate"], "y", then_branch=branch, else_branch=branch)], constants)
    report = bnlint.check(path)
    assert report.coverage.reason == "Not looked at: `BatchNormalization` in the graphs of `If`."
    assert not report.findings
    assert "BN003" in {item.code for item in report.not_run}


def test_normalisation_of_another_library_is_not_taken_for_none(tmp_path: Path) -> None:
    fused = helper.make_node("SkipLayerNormalization", ["x", "x"], ["y"], domain="com.microsoft")
    report = bnlint.check(saved(tmp_path / "m.onnx", [fused], {}))
    assert report.coverage.reason == "Not looked at: `com.microsoft::SkipLayerNormalization`."
    assert "BN003" in {item.code for item in report.not_run}


def test_branches_without_normalisation_hide_none(tmp_path: Path) -> None:
    results = [helper.make_tensor_value_info("inner", 1, None)]
    branch = helper.make_graph([call("Relu", ["x"], "inner")], "branch", [], results)
    calls = [call("If", ["rate"], "y", then_branch=branch, else_branch=branch)]
    report = bnlint.check(saved(tmp_path / "m.onnx", calls, {"rate": numpy.array(True)}))
    assert [finding.code for finding in report.findings] == ["BN003"]


def test_functions_of_the_file_are_looked_into(facts_of: Any) -> None:
    body = [call("Relu", ["given"], "result")]
    opsets = [helper.make_opsetid("", 18)]
    function = helper.make_function("own", "Activate", ["given"], ["result"], body, opsets)
    calls = [helper.make_node("Activate", ["x"], ["before"], domain="own"), NORMALISE]
    assert facts_of(calls, shape=(4, 4), output="after", functions=[function]).fed_by == {"activation"}


@pytest.mark.parametrize("training", [True, False])
def test_dropout_that_stays_active(training: bool, tmp_path: Path) -> None:
    constants = VALUES | {"ratio": numpy.array(0.3, "f"), "training": numpy.array(training)}
    calls = [call("Dropout", ["x", "ratio", "training"], "before"), NORMALISE]
    table = bnlint.inspect(saved(tmp_path / "model", calls, constants, shape=(4, 4), output="after"))
    assert bool(table.model.dropouts_ignoring_eval) is training
    assert table.norms[0].dropout_before == 0.3


def test_a_batch_of_any_size_is_taken_as_two(tmp_path: Path) -> None:
    report = bnlint.check(saved(tmp_path / "model", shape=("batch", 3, 8, 8)))
    assert (report.coverage.inputs, report.coverage.inputs_assumed) == ("2x3x8x8:float32", True)
    facts = bnlint.inspect(saved(tmp_path / "model", shape=(None, 3, 8, 8)), batch_size=16).norms[0]
    assert (facts.input_shape, facts.values_per_channel) == ((2, 4, 6, 6), 16 * 36)


def test_other_axes_of_any_size_stay_unknown(facts_of: Any) -> None:
    facts = facts_of(shape=("batch", 3, "height", "width"))
    assert facts.input_shape is UNKNOWN
    assert facts.fed_by == {"convolution"}


def test_layers_that_share_initialisers_are_told_apart(tmp_path: Path) -> None:
    """Exporters write weights of the same values once; `bn.weight` is then that of several layers."""
    calls = [
        call("BatchNormalization", ["x", *NORM], "a"),
        call("Relu", ["a"], "b"),
        call("BatchNormalization", ["b", *NORM], "y"),
    ]
    table = bnlint.inspect(saved(tmp_path / "model", calls, shape=(2, 4)))
    assert [(facts.layer, facts.calls) for facts in table.norms] == [("bn", 1), ("y", 1)]
    for node, name in zip(calls[::2], ("first", "second"), strict=True):
        noted(node, ["", name, "op"], ["Net", "torch.nn.modules.batchnorm.BatchNorm1d", "aten.batch_norm.default"])
    table = bnlint.inspect(saved(tmp_path / "model", calls, shape=(2, 4)))
    assert [facts.layer for facts in table.norms] == ["first", "second"]


def test_the_older_exporter_writes_paths_into_names(facts_of: Any) -> None:
    node = call("BatchNormalization", ["x", "w", "b", "m", "v"], "y", name="/layer1/layer1.0/bn1/BatchNormalization")
    constants = {name: VALUES[full] for name, full in zip("wbmv", NORM, strict=True)}
    assert facts_of([node], constants, shape=(2, 4)).layer == "layer1.0.bn1"


def test_weights_under_another_name_and_weights_that_are_computed(facts_of: Any) -> None:
    named = call("Identity", ["bn.running_var"], "variance")
    calls = [named, call("BatchNormalization", ["x", *NORM[:3], "variance"], "y")]
    assert facts_of(calls, shape=(2, 4)).negative_variances == 0
    computed = [call("Abs", ["bn.running_var"], "variance"), calls[1]]
    facts = facts_of(computed, shape=(2, 4))
    assert facts.negative_variances is UNKNOWN
    assert facts.has_running_statistics is True


def test_a_group_norm_in_parts_is_one_layer(tmp_path: Path) -> None:
    notes = (["", "gn", "op"], ["Net", "torch.nn.modules.normalization.GroupNorm", "aten.group_norm.default"])
    parts = [
        call("Reshape", ["convolved", "grouped"], "a"),
        call("InstanceNormalization", ["a", "ones", "zeros"], "b", epsilon=1e-3),
        call("Shape", ["convolved"], "shape"),
        call("Reshape", ["b", "shape"], "c"),
        call("Mul", ["c", "bn.weight"], "normalised"),
    ]
    constants = VALUES | {
        "grouped": numpy.array([0, 2, -1]), "ones": numpy.ones(2, "f"), "zeros": numpy.zeros(2, "f"),
    }  # fmt: skip
    calls = [CONV_NORM[0], *(noted(part, *notes) for part in parts), CONV_NORM[2]]
    table = bnlint.inspect(saved(tmp_path / "model", calls, constants))
    assert [(facts.layer, facts.kind) for facts in table.norms] == [("gn", "group_norm")]
    facts = table.norms[0]
    assert (facts.fed_by, facts.feeds, facts.eps) == ({"convolution"}, {"activation"}, 1e-3)
    assert facts.affine is UNKNOWN


HOSTILE_NOTES = [
    "[" * 5000,
    "__import__('os')",
    "{}",
    "{[]: 1}",
    "['" + r"\'" * 30_000,
    "[1, None]",
    "['a.BatchNorm2d']" * 2,
    "\x00",
]


@pytest.mark.parametrize("note", HOSTILE_NOTES)
def test_notes_may_say_anything(note: str, facts_of: Any) -> None:
    node = call("BatchNormalization", ["x", *NORM], "y")
    helper.set_metadata_props(node, {f"pkg.torch.onnx.{key}": note for key in ("class_hierarchy", "name_scopes")})
    assert facts_of([node], shape=(2, 4)).layer == "bn"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8, momentum=0.25)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(F.silu(self.bn(self.conv(x)))).mean((2, 3)))


def exported(model: nn.Module, path: Path, *inputs: torch.Tensor, **options: Any) -> Path:
    torch.onnx.export(model, inputs, path, dynamo=True, external_data=False, verbose=False, **options)
    return path


@pytest.mark.parametrize("training", [True, False])
def test_the_exporter_tells_the_mode_that_it_was_given(training: bool, tmp_path: Path) -> None:
    model = with_plausible_statistics(Net()).train(training)
    report = bnlint.check(exported(model, tmp_path / "model", torch.randn(2, 3, 8, 8)))
    codes = {finding.code for finding in report.findings}
    assert ({"BN108", "BN112"} <= codes) is training
    assert not codes & {"BN101", "BN103"}


BATCH_NORM = (["", "bn", "op"], ["Net", "torch.nn.modules.batchnorm.BatchNorm2d", "aten.batch_norm.default"])


def of_layer(operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
    return noted(call(operator, inputs, *outputs, **attributes), *BATCH_NORM)


def test_a_scale_that_the_exporter_makes_is_none(facts_of: Any) -> None:
    ones = of_layer("Expand", ["one", "four"], "ones")
    normalise = of_layer("BatchNormalization", ["convolved", "ones", "ones", *NORM[2:]], "normalised")
    constants = VALUES | {"one": numpy.ones(1, "f"), "four": numpy.array([4])}
    facts = facts_of([CONV_NORM[0], ones, normalise, CONV_NORM[2]], constants)
    assert (facts.layer, facts.affine, facts.has_running_statistics) == ("bn", False, True)
    assert facts.uses_batch_statistics is False


def test_statistics_that_the_graph_takes_from_the_batch_are_none(facts_of: Any) -> None:
    mean = of_layer("ReduceMean", ["convolved", "axes"], "mean", keepdims=0)
    square = of_layer("ReduceSumSquare", ["convolved", "axes"], "square", keepdims=0)
    normalise = of_layer("BatchNormalization", ["convolved", *NORM[:2], "mean", "square"], "normalised")
    facts = facts_of([CONV_NORM[0], mean, square, normalise, CONV_NORM[2]], VALUES | {"axes": numpy.array([0, 2, 3])})
    assert (facts.affine, facts.has_running_statistics, facts.uses_batch_statistics) == (True, False, True)
    assert facts.fed_by == {"convolution"}


def test_a_scale_that_is_converted_is_one(facts_of: Any) -> None:
    """Of another layer by its name: weights of the same values are written once."""
    converted = of_layer("Abs", ["other.weight"], "scale")
    normalise = of_layer("BatchNormalization", ["convolved", "scale", *NORM[1:]], "normalised")
    constants = VALUES | {"other.weight": VALUES["bn.weight"]}
    facts = facts_of([CONV_NORM[0], converted, normalise, CONV_NORM[2]], constants)
    assert (facts.affine, facts.zero_scale_share) == (True, UNKNOWN)
    assert facts.has_running_statistics is True
