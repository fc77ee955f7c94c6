"""TorchScript archives, against the models that they were made from."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before timm
from bnlint.artifacts.inert.machine import BadPickleError, read_pickle
from bnlint.artifacts.inert.script_code import parse_code
from bnlint.artifacts.inert.script_lines import SourceLines
from bnlint.artifacts.torchscript import ScriptedModel, read_torchscript
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.facts.unknown import UNKNOWN
from tests.artifacts.judge import judge
from tests.models import with_plausible_statistics


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.bn = nn.BatchNorm2d(4, momentum=0.03)
        self.stages = nn.Sequential(nn.BatchNorm2d(4, affine=False, eps=1e-3), nn.GroupNorm(2, 4, eps=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return self.stages(x)


def network() -> Net:
    model = with_plausible_statistics(Net()).eval()
    model.stages[0].train()
    return model


def read(program: torch.jit.ScriptModule, folder: Path) -> ScriptedModel:
    path = folder / "model.pt"
    torch.jit.save(program, path)
    return read_torchscript(path, "model.pt")


def scripted(model: nn.Module, folder: Path) -> ScriptedModel:
    return read(torch.jit.script(model), folder)


def traced(model: nn.Module, folder: Path) -> ScriptedModel:
    return read(torch.jit.trace(model, torch.randn(2, 3, 4, 4), check_trace=False), folder)


@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, torch.randn(2, 3, 4, 4))])
def test_findings_tell_the_line_of_the_call(make, tmp_path: Path) -> None:
    torch.jit.save(make(network().train()), tmp_path / "model.pt")
    findings = bnlint.check(tmp_path / "model.pt").findings
    location = next(item.location for found in findings for item in found.evidence if item.layer == "bn")
    assert location is not None
    assert location.file.endswith("test_torchscript.py")
    assert not Path(location.file).is_absolute()
    assert location.code == ""  # the file is not opened
    assert "self.bn(self.conv(x))" in Path(__file__).read_text().splitlines()[location.line - 1]


@pytest.mark.parametrize("make", [scripted, traced])
def test_the_module_tree_is_that_of_the_model(make, tmp_path: Path) -> None:
    model = network()
    found = make(model, tmp_path).saved
    live = dict(model.named_modules())
    assert sorted(module.path for module in found.modules) == sorted(live)
    for module in found.modules:
        expected = live[module.path]
        assert module.class_path == f"{type(expected).__module__}.{type(expected).__qualname__}"
        assert module.training is expected.training
        for name in ("eps", "momentum"):
            if "Norm" in module.class_path and hasattr(expected, name):
                assert module.attributes[name] == getattr(expected, name)
        for name, tensor in module.tensors.items():
            assert tensor.parameter is isinstance(getattr(expected, name), nn.Parameter)
    weights = model.state_dict()
    assert sorted(found.tensors) == sorted(weights)
    for name, tensor in weights.items():
        assert numpy.array_equal(found.tensors[name].values(), tensor.numpy())


def test_the_mode_of_a_scripted_layer_is_its_flag(tmp_path: Path) -> None:
    calls = {call.module: call for call in scripted(network(), tmp_path).calls}
    assert calls["bn"].training is None
    assert not scripted(network(), tmp_path).saved.baked_training
    assert calls["stages.1"].operator == "group_norm"


def test_the_mode_of_a_traced_layer_is_baked_in(tmp_path: Path) -> None:
    found = traced(network(), tmp_path)
    assert {call.module: call.training for call in found.calls} == {"bn": False, "stages.0": True, "stages.1": None}
    assert found.saved.baked_training == {"bn": False, "stages.0": True}


def always_by_the_batch(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return always_by_the_batch(x)


class Follows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, training=self.training)


def test_a_function_that_a_module_calls_belongs_to_the_module(tmp_path: Path) -> None:
    (call,) = scripted(nn.Sequential(nn.Identity(), Functional()), tmp_path).calls
    assert (call.module, call.operator, call.training) == ("1", "batch_norm", True)
    (call,) = scripted(Follows(), tmp_path).calls
    assert call.training is None


@pytest.mark.parametrize("make", [scripted, traced])
def test_calls_have_the_line_of_the_user(make, tmp_path: Path) -> None:
    (call,) = [call for call in make(network(), tmp_path).calls if call.module == "bn"]
    lines = Path(__file__).read_text().splitlines()
    assert call.source is not None
    assert Path(call.source.file).name == "test_torchscript.py"
    assert lines[call.source.line - 1].strip() == "x = self.bn(self.conv(x))"


def test_a_layer_inside_a_container_has_the_line_that_calls_the_container(tmp_path: Path) -> None:
    (call,) = [call for call in scripted(network(), tmp_path).calls if call.module == "stages.0"]
    lines = Path(__file__).read_text().splitlines()
    assert call.source is not None
    assert lines[call.source.line - 1].strip() == "return self.stages(x)"


def test_a_frozen_program_has_calls_and_constants_alone(tmp_path: Path) -> None:
    model = network().eval()
    found = read(torch.jit.freeze(torch.jit.script(model), optimize_numerics=False), tmp_path)
    (root,) = found.saved.modules
    assert root.class_path.endswith("Net")
    assert not found.saved.tensors
    assert any("The program is frozen" in note for note in found.saved.notes)
    first = found.calls[0]
    assert (first.module, first.operator, first.training) == ("", "batch_norm", False)
    assert first.arguments["momentum"] == 0.03
    assert numpy.array_equal(first.tensors["running_var"].values(), model.bn.running_var.numpy())
    assert numpy.array_equal(first.tensors["weight"].values(), model.bn.weight.detach().numpy())


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3, momentum=0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(F.relu(self.bn(x)))


def test_a_layer_that_is_called_twice_is_one_module(tmp_path: Path) -> None:
    found = traced(Twice().eval(), tmp_path)
    batch_norms = [module for module in found.saved.modules if "BatchNorm" in module.class_path]
    assert [module.path for module in batch_norms] == ["bn"]
    assert batch_norms[0].attributes["momentum"] == 0.2
    assert [call.training for call in found.calls] == [False, False]


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050"])
def test_published_models(name: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model(name).eval()
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.trace(model, torch.randn(1, 3, 64, 64), check_trace=False), path)
    found = read_torchscript(path, "model.pt")
    expected = {path for path, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {module.path for module in found.saved.modules if "BatchNorm" in module.class_path} == expected
    calls = [call for call in found.calls if call.operator == "batch_norm"]
    assert {call.module for call in calls} == expected
    assert {call.training for call in calls} == {False}
    assert not found.saved.notes


def test_archives_for_mobile_devices(tmp_path: Path) -> None:
    path = tmp_path / "model.ptl"
    program = torch.jit.script(network())
    program._save_for_lite_interpreter(str(path), _save_mobile_debug_info=True)
    found = read_torchscript(path, "model.ptl")
    assert {call.module for call in found.calls} == {"bn", "stages.0", "stages.1"}


def test_keys_do_not_apply(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--key"):
        read_torchscript(tmp_path / "model.pt", "model.pt", "ema")


class Writes(nn.Module):
    """Creates a file when it is loaded: `torch.from_file` with `shared=True`."""

    def __init__(self, canary: str) -> None:
        super().__init__()
        self.canary = canary
        self.kept = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.canary, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.canary = state[0]
        self.training = state[1]
        self.kept = torch.from_file(state[0], True, 8)


def test_code_that_writes_a_file_on_loading_is_not_run(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(nn.Sequential(nn.BatchNorm2d(4), Writes(str(canary)))), path)
    torch.jit.load(path)
    assert canary.exists()  # what is not to happen, does with torch's own loader
    canary.unlink()
    found = read_torchscript(path, "model.pt")
    assert "running_mean" in found.saved.modules[1].tensors
    assert found.saved.called == (f"{Writes.__module__}.Writes",)
    assert judge([("torchscript", path)]) == [f"read: {Writes.__module__}.Writes"]
    assert not canary.exists()


MANGLED = re.compile(r"/___torch_mangle_\d+")


def rewritten(folder: Path, changes: dict[str, bytes | None]) -> Path:
    """An archive with other contents for some members, or without them."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network()), buffer)
    path = folder / "model.pt"
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            inner = name.partition("/")[2]
            data = changes.get(MANGLED.sub("", inner), old.read(name))
            if data is not None:
                packed = zipfile.ZIP_DEFLATED if inner.startswith("code/") else zipfile.ZIP_STORED
                new.writestr(name, data, packed)
    return path


BATCH_NORM = "code/__torch__/torch/nn/modules/batchnorm.py"


@pytest.mark.parametrize(
    "code",
    [
        b"import os; os.system('touch canary')",
        b"(" * 10**5,
        b"\xff\xfe",
        b"class BatchNorm2d(Module):\n  x : int = __import__('os').system('touch canary')\n",
        b"x = " + b"-" * 10**5 + b"1",
        b"a." * 10**5 + b"b",
        b"\0",
        b"# -*- coding: bz2_codec -*-\nx = 1\n",
        b"x = '\\z'\n",
    ],
)
def test_code_that_torch_did_not_write_is_not_run(code: bytes, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = rewritten(tmp_path, {BATCH_NORM: code})
    (answer,) = judge([("torchscript", path)])
    assert answer.startswith(("read: ", "refused: "))
    assert not (tmp_path / "canary").exists()


def test_code_that_cannot_be_parsed_is_noted_and_the_flags_are_read(tmp_path: Path) -> None:
    found = read_torchscript(rewritten(tmp_path, {BATCH_NORM: b"class {"}), "model.pt")
    (note,) = found.saved.notes
    assert note.startswith("Left out, as torch writes nothing of the kind: 2 files of code, `code/")
    assert "bn" in {module.path for module in found.saved.modules}


def test_lines_that_are_damaged_are_no_lines(tmp_path: Path) -> None:
    changes: dict[str, bytes | None] = {
        "code/__torch__/tests/artifacts/test_torchscript.py.debug_pkl": b"damaged",
        f"{BATCH_NORM}.debug_pkl": None,
    }
    found = read_torchscript(rewritten(tmp_path, changes), "model.pt")
    assert [call.source for call in found.calls] == [None] * 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data.pkl": None}, "no `data.pkl`"),
        ({"data.pkl": b"N."}, "holds no module"),
        ({"data.pkl": b"\x80\x02}q"}, "damaged"),
        ({BATCH_NORM: b" " * (1 << 25)}, "longer than any model needs"),
    ],
)
def test_damaged_archives_are_one_sentence(changes: dict[str, bytes | None], says: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match=says):
        read_torchscript(rewritten(tmp_path, changes), "model.pt")


def test_an_archive_cut_short_is_refused_everywhere(tmp_path: Path) -> None:
    data = rewritten(tmp_path, {}).read_bytes()
    cases = []
    for percent in range(0, 100, 7):
        path = tmp_path / f"{percent}.pt"
        path.write_bytes(data[: len(data) * percent // 100])
        cases.append(("torchscript", path))
    assert all(answer.startswith("refused: ") for answer in judge(cases))


def members(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(rewritten(folder, {})) as archive:
        return {MANGLED.sub("", name.partition("/")[2]): archive.read(name) for name in archive.namelist()}


def parsed(code: bytes) -> set[str] | str:
    try:
        return set(parse_code(code, "a.py", "m"))
    except ValueError as error:
        return str(error)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return members(tmp_path_factory.mktemp("good"))


def flipped(content: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(changed)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_in_code_are_parsed_or_refused(good: dict[str, bytes], data: st.DataObject) -> None:
    found = parsed(flipped(good[BATCH_NORM], data))
    assert isinstance(found, set) or found == "the code in `a.py` cannot be parsed"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_in_lines_give_a_line_or_none(good: dict[str, bytes], data: st.DataObject) -> None:
    try:
        value = read_pickle(io.BytesIO(flipped(good[f"{BATCH_NORM}.debug_pkl"], data))).value
    except BadPickleError:
        return
    line = SourceLines(value).at(data.draw(st.integers(0, 2000)))
    assert line is None or line.line >= 0


@pytest.mark.parametrize("nesting", [100, 400, 950, 5000])
def test_nested_code_is_parsed_or_refused(nesting: int) -> None:
    code = b"class A(Module):\n  def f(self):\n    x = " + b"-" * nesting + b"1\n"
    assert parsed(code) in ({"m.A"}, "the code in `a.py` cannot be parsed")


class Passes(nn.Module):
    """Passes the statistics of two layers to a function, and never calls these layers."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3, momentum=0.2)
        self.parts = nn.ModuleDict({"norm": nn.BatchNorm2d(3)})
        self.called = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias, True, 0.2)
        other = self.parts["norm"]
        x = F.batch_norm(x, other.running_mean, other.running_var)
        return self.called(x)


class Copies(nn.Module):
    """Passes copies of statistics: the code no longer says whose."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.called = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.bn.running_mean, self.bn.running_var
        return self.called(F.batch_norm(x, mean * 2, variance * 2, training=True))


class FlagOfTheParent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.bn.running_mean, self.bn.running_var, training=self.training)


class PlainNorm(nn.Module):
    """Normalises by the statistics of its only part: no layer of its own, whatever its name says."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.bn.running_mean, self.bn.running_var)


def saved(program: torch.jit.ScriptModule, folder: Path) -> Path:
    path = folder / "model.pt"
    torch.jit.save(program, path)
    return path


def script_of(model: nn.Module, folder: Path) -> Path:
    return saved(torch.jit.script(model), folder)


def trace_of(model: nn.Module, folder: Path) -> Path:
    return saved(torch.jit.trace(model, torch.randn(2, 3, 4, 4), check_trace=False), folder)


def modes(path: Path) -> dict[str, tuple[object, object]]:
    """For each layer whether it normalises by the batch, and whether it ignores `eval()`, as the rules see it."""
    return {norm.layer: (norm.uses_batch_statistics, norm.ignores_eval) for norm in bnlint.inspect(path).norms}


def found_in(path: Path, code: str) -> set[str]:
    report = bnlint.check(path)
    return {layer for finding in report.findings if finding.code == code for layer in finding.layers}


@pytest.mark.parametrize("make", [script_of, trace_of])
def test_a_call_belongs_to_the_layer_whose_statistics_it_is_given(make, tmp_path: Path) -> None:
    path = make(with_plausible_statistics(nn.Sequential(Passes())).eval(), tmp_path)
    assert modes(path) == {"0.bn": (True, True), "0.parts.norm": (False, False), "0.called": (False, False)}
    assert found_in(path, "BN103") == {"0.bn"}
    momentum = {norm.layer: norm.momentum for norm in bnlint.inspect(path).norms}
    assert momentum["0.bn"] == 0.2


@pytest.mark.parametrize("make", [script_of, trace_of])
def test_a_layer_that_no_call_was_found_for_is_unknown_where_a_call_has_no_layer(make, tmp_path: Path) -> None:
    path = make(with_plausible_statistics(Copies()).eval(), tmp_path)
    assert modes(path) == {"bn": (UNKNOWN, UNKNOWN), "called": (False, False)}
    assert [item.layers for item in bnlint.check(path).not_run if item.code == "BN103"] == [("bn",)]


def test_a_flag_of_the_parent_decides_where_it_agrees_with_that_of_the_layer(tmp_path: Path) -> None:
    model = with_plausible_statistics(FlagOfTheParent()).eval()
    assert modes(script_of(model, tmp_path)) == {"bn": (False, False)}
    model.bn.train()
    assert modes(script_of(model, tmp_path)) == {"bn": (UNKNOWN, UNKNOWN)}


@pytest.mark.parametrize("make", [script_of, trace_of])
def test_a_module_that_only_passes_statistics_on_is_no_layer(make, tmp_path: Path) -> None:
    assert modes(make(with_plausible_statistics(PlainNorm()).eval(), tmp_path)) == {"bn": (False, False)}


def test_layers_that_were_frozen_in_training_mode_have_their_statistics(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, momentum=0.3), nn.BatchNorm2d(4)]
    model = with_plausible_statistics(nn.Sequential(*layers)).eval()
    model[1].train()
    model[2].train()
    path = saved(torch.jit.freeze(torch.jit.script(model)), tmp_path)
    assert found_in(path, "BN103") == {"1", "2"}
    assert not found_in(path, "BN104")
    found = read_torchscript(path, "model.pt").saved
    for name in ("1", "2"):
        for tensor in ("running_mean", "running_var", "weight", "bias"):
            expected = getattr(model.get_submodule(name), tensor).detach().numpy()
            assert numpy.array_equal(found.tensors[f"{name}.{tensor}"].values(), expected)
