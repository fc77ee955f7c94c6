from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

import bnlint
from bnlint.artifacts.inert.onnx_bytes import reduced
from bnlint.artifacts.inert.onnx_contents import read_onnx
from bnlint.artifacts.onnx_file import read_onnx_file
from bnlint.artifacts.sniff import Kind, sniff
from bnlint.errors import BnlintError, NotAnalysedError, UsageError
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.onnx import trace_onnx
from tests.artifacts.onnx_models import CONV_NORM, VALUES, call, model_of, saved


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path / "weights.bin")


def kind_of(data: bytes) -> Kind:
    return sniff(io.BytesIO(data)).kind


def external(name: str, location: str, shape: tuple[int, ...] = (4,)) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=1, dims=shape, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_the_content_tells_the_format(file: Path) -> None:
    assert kind_of(file.read_bytes()) is Kind.ONNX
    assert bnlint.check(file).coverage.form == "onnx"


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x08\x0a",
        b"\x08\x00" + b"\x12\x03abc" + b"\x3a\x00",
        b"\x08\x01\x12\x08\x0a\x06\x0a\x04\x12\x02\x08\x01",  # a SavedModel of TensorFlow
        b"\x08\x0a\x12\x07pytorch",  # no graph
        b"\x08\x0a" + b"\x5a\x02ab" * 30,
        b"\x08" * 400,
    ],
)
def test_other_bytes_are_no_onnx_file(data: bytes) -> None:
    assert kind_of(data) is Kind.UNREADABLE
    assert "ONNX" not in sniff(io.BytesIO(data)).words


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_files_that_were_cut_short(percent: int, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(NotAnalysedError, match=r"cut short|empty"):
        bnlint.check(path)


def test_values_are_read_from_their_place_in_the_file(file: Path) -> None:
    model = read_onnx_file(file, "model")
    for name, values in VALUES.items():
        assert numpy.array_equal(model.tensors[name].values(), values)


@pytest.mark.parametrize(("kind", "dtype"), [(1, "f"), (11, "d")])
def test_values_that_are_a_list_of_numbers(kind: int, dtype: str, tmp_path: Path) -> None:
    listed = helper.make_tensor("bn.running_var", kind, [4], VALUES["bn.running_var"].tolist())
    model = read_onnx_file(saved(tmp_path / "model", constants=VALUES | {"bn.running_var": listed}), "model")
    found = model.tensors["bn.running_var"].values()
    assert found.dtype == numpy.dtype(dtype)
    assert numpy.array_equal(found, VALUES["bn.running_var"])


def test_values_in_another_form_are_unknown(tmp_path: Path) -> None:
    listed = helper.make_tensor("bn.running_var", onnx.TensorProto.BFLOAT16, [4], [1.0, 2.0, 0.5, 4.0])
    facts = bnlint.inspect(saved(tmp_path / "model", constants=VALUES | {"bn.running_var": listed})).norms[0]
    assert facts.negative_variances is UNKNOWN
    assert facts.has_running_statistics is True


def test_large_weights_are_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "model", constants=VALUES | {"large": numpy.ones(1 << 20, "f")})
    with path.open("rb") as file:
        small = reduced(file)
    assert path.stat().st_size > 1 << 22
    assert len(small.data) < 4096
    assert small.regions["large"].size == 1 << 22
    assert set(small.regions) == {*VALUES, "large"}


def as_operators(large: int = 4) -> list[onnx.NodeProto]:
    """The weights as PaddlePaddle writes them: results of `Constant` operators under other names."""
    values = VALUES | {"large": numpy.ones(large, "f")}
    return [call("Constant", [], name, value=helper.make_tensor("own", 1, v.shape, v)) for name, v in values.items()]


def test_values_of_constant_operators(tmp_path: Path) -> None:
    path = saved(tmp_path / "model", [*as_operators(), *CONV_NORM], {})
    model = read_onnx_file(path, "model")
    for name, values in VALUES.items():
        assert numpy.array_equal(model.tensors[name].values(), values)
    (facts,) = bnlint.inspect(path).norms
    assert (facts.statistics_at_initial_values, facts.negative_variances, facts.left_in_onnx) == (False, 0, True)


def test_large_values_of_constant_operators_are_not_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "model", [*as_operators(1 << 20), *CONV_NORM], {})
    with path.open("rb") as file:
        small = reduced(file)
    assert path.stat().st_size > 1 << 22
    assert len(small.data) < 4096
    assert small.regions["large"].size == 1 << 22


def test_an_operator_that_only_sounds_like_a_constant_stays_whole(tmp_path: Path) -> None:
    shape = call("Constant", [], "shape", value=helper.make_tensor("own", 7, [1], [4]))
    made = call("ConstantOfShape", ["shape"], "bn.bias", value=helper.make_tensor("own", 1, [1], [0.5]))
    constants = {name: value for name, value in VALUES.items() if name != "bn.bias"}
    path = saved(tmp_path / "model", [shape, made, *CONV_NORM], constants)
    with path.open("rb") as file:
        assert reduced(file).regions.keys() == constants.keys()
    assert read_onnx(path).nodes[0].operator == "ConstantOfShape"


def test_a_batch_of_minus_one_is_of_any_size(tmp_path: Path) -> None:
    (facts,) = bnlint.inspect(saved(tmp_path / "model", shape=(-1, 3, 8, 8))).norms
    assert facts.input_shape == (2, 4, 6, 6)


def test_external_data_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "beside.data").write_bytes(bytes(64))
    paths = [
        saved(tmp_path / f"{number}", constants=VALUES | {"bn.running_var": external("bn.running_var", location)})
        for number, location in enumerate(["/etc/passwd", "../../../../etc/passwd", "beside.data"])
    ]
    program = (
        "import sys, onnx, onnx.shape_inference, onnx.numpy_helper, pathlib\n"
        "from bnlint.artifacts.inert.onnx_contents import read_onnx\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "for path in sys.argv[1:]:\n    read_onnx(pathlib.Path(path))\n"
        "print([name for name in opened if not name.endswith(('.py', '.pyc')) and not name.isdigit()])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([str(path) for path in paths])
    for path in paths:
        report = bnlint.check(path)
        assert any("another file, which was not opened" in note for note in report.coverage.notes)
        assert "BN503" in {item.code for item in report.not_run}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_external_data_in_a_pipe_does_not_hang(tmp_path: Path) -> None:
    """Whoever opened it would wait for ever, C++ code as well, which no audit hook sees."""
    os.mkfifo(tmp_path / "pipe")
    constants = VALUES | {"bn.running_var": external("bn.running_var", "pipe"), "conv.weight": external("c", "pipe")}
    constants["conv.weight"].name = "conv.weight"
    assert len(bnlint.inspect(saved(tmp_path / "model", constants=constants)).norms) == 1


@pytest.mark.parametrize("size", [1 << 62, 1 << 45, -1])
def test_sizes_that_cannot_be(size: int, tmp_path: Path) -> None:
    tensor = onnx.TensorProto(name="bn.running_var", data_type=1, dims=[size], raw_data=bytes(16))
    with pytest.raises(NotAnalysedError, match="damaged"):
        bnlint.check(saved(tmp_path / "model", constants=VALUES | {"bn.running_var": tensor}))


@pytest.mark.parametrize("size", [1 << 62, 1 << 39, -1])
def test_sizes_of_inputs_that_cannot_be_are_unknown(size: int, tmp_path: Path) -> None:
    table = bnlint.inspect(saved(tmp_path / "model", shape=(2, 3, size, size)))
    assert table.norms[0].input_shape is UNKNOWN


def test_more_axes_than_any_tensor_has(tmp_path: Path) -> None:
    tensor = onnx.TensorProto(name="bn.running_var", data_type=1, dims=[1] * 100_000, raw_data=bytes(4))
    with pytest.raises(NotAnalysedError, match="has 100000 axes"):
        bnlint.check(saved(tmp_path / "model", constants=VALUES | {"bn.running_var": tensor}))


def test_a_tensor_that_claims_more_than_it_has(tmp_path: Path) -> None:
    tensor = onnx.TensorProto(name="bn.running_var", data_type=1, dims=[1 << 20], raw_data=bytes(16))
    table = bnlint.inspect(saved(tmp_path / "model", constants=VALUES | {"bn.running_var": tensor}))
    assert table.norms[0].negative_variances is UNKNOWN


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([call("Relu", ["b"], "a"), call("Relu", ["a"], "b"), *CONV_NORM], "before it is made"),
        ([*CONV_NORM, call("Relu", ["x"], "normalised")], "twice"),
        ([*CONV_NORM[::-1]], "before it is made"),
        ([call("Relu", ["nothing"], "y")], "before it is made"),
    ],
)
def test_graphs_that_contradict_themselves(calls: list[onnx.NodeProto], words: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match=words):
        bnlint.check(saved(tmp_path / "model", calls))


def test_two_constants_of_one_name(tmp_path: Path) -> None:
    model = model_of()
    model.graph.initializer.append(model.graph.initializer[0])
    path = tmp_path / "model"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NotAnalysedError, match="twice"):
        bnlint.check(path)


def test_without_the_package_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else found(name, *rest))
    with pytest.raises(NotAnalysedError, match="not installed") as caught:
        bnlint.check(file)
    assert "pip install 'bnlint[onnx]'" in str(caught.value)


def test_what_does_not_apply_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="`--key` does not apply"):
        bnlint.check(file, key="ema")
    with pytest.raises(UsageError, match="is an ONNX file"):
        bnlint.check("torch.nn:Identity", kwargs={}, weights=file)


DATA = model_of([as_operators()[-1], *CONV_NORM]).SerializeToString()


def test_a_name_that_is_no_text_is_damage(tmp_path: Path) -> None:
    (tmp_path / "changed").write_bytes(DATA.replace(b"running_mean", b"running\x80mean"))
    with pytest.raises(NotAnalysedError, match=r"damaged: .*a name in it is no text"):
        bnlint.check(tmp_path / "changed")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_change_is_read_or_refused(changes: list[tuple[float, int]], tmp_path: Path) -> None:
    data = bytearray(DATA)
    for place, byte in changes:
        data[int(place * len(data))] = byte
    path = tmp_path / "changed"
    path.write_bytes(data)
    try:
        contents = read_onnx(path)
    except ValueError:
        return
    model = bnlint.artifacts.onnx_file.OnnxModel("changed", contents, {})
    with contextlib.suppress(BnlintError):
        assert trace_onnx(model).graph.nodes
