"""Exported programs are read as data: the values of their weights, and nothing that a file wants to have run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import bnlint
from bnlint.artifacts.inert.program import MOST_OBJECTS
from bnlint.artifacts.lazy_tensors import LazyTensors
from bnlint.artifacts.program_archive import read_program
from bnlint.artifacts.read import read
from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.facts.unknown import UNKNOWN
from tests.artifacts.programs import (
    CONSTANTS,
    GRAPH,
    SAMPLE_INPUTS,
    WEIGHTS,
    Edit,
    edited,
    json_edit,
    save,
    save_as_before,
)
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ROOT = Path(__file__).parents[2]


def model() -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(ConvNet()).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(model(), (images(),), tmp_path_factory.mktemp("program") / "model.pt2")


def same(stored: LazyTensors, state: dict[str, Tensor]) -> None:
    assert dict(stored).keys() == state.keys()
    for name, tensor in state.items():
        assert stored[name].dtype == tensor.dtype
        assert torch.equal(stored[name], tensor)
        assert isinstance(stored[name], nn.Parameter) == isinstance(tensor, nn.Parameter)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_weights_are_those_of_the_model(dtype: torch.dtype, tmp_path: Path) -> None:
    net = model().to(dtype)
    path = save(net, (images().to(dtype),), tmp_path / "model.pt2")
    program = read_program(path, "model.pt2")
    same(LazyTensors(program.tensors), dict(torch.export.load(path).state_dict))
    mean = program.tensors["bn1.running_mean"]
    assert torch.equal(torch.from_numpy(mean.values()).to(dtype), net.bn1.running_mean)


def test_weights_for_another_model_are_there_whatever_their_size(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnlint.artifacts.lazy_tensors.LARGEST_TENSOR", 1)
    artifact = read(str(file))
    assert artifact.tensors["conv1.weight"].is_meta
    weights = artifact.weights()
    assert all(torch.equal(weights[name], tensor) for name, tensor in model().state_dict().items())


def test_weights_of_older_releases_lie_in_one_pickle(tmp_path: Path) -> None:
    program = torch.export.export(model(), (images(),))
    path = save_as_before(program, tmp_path / "model.pt2")
    same(LazyTensors(read_program(path, "model.pt2").tensors), dict(torch.export.load(path).state_dict))
    findings = [(finding.code, finding.layers) for finding in bnlint.check(path, trust=True).findings]
    assert findings == [(finding.code, finding.layers) for finding in bnlint.check(program).findings]


def test_a_command_in_the_weights_of_older_releases_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    old = save_as_before(torch.export.export(model(), (images(),)), tmp_path / "model.pt2")
    saved = io.BytesIO()
    torch.save(Touches(canary), saved)
    evil = tmp_path / "evil.pt2"
    with zipfile.ZipFile(old) as archive, zipfile.ZipFile(evil, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, saved.getvalue() if name.endswith(".pt") else archive.read(name))
    table = bnlint.inspect(evil)
    assert [record.layer for record in table.norms] == ["bn1", "bn2"]
    assert not canary.exists()
    with contextlib.suppress(Exception):
        torch.export.load(evil)
    assert canary.exists(), "torch's own loader runs the command: there was one to miss"


def test_weights_that_share_a_storage_and_are_laid_out_in_other_ways(tmp_path: Path) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(4, 6)
            self.part = nn.Parameter(whole[1:3, 2:5])
            self.turned = nn.Parameter(whole.t())
            self.register_buffer("every_second", whole[:, ::2])
            self.empty = nn.Parameter(torch.empty(0, 3))
            self.same = self.part

        def forward(self, x: Tensor) -> Tensor:
            return x + self.part.sum() + self.turned.sum() + self.every_second.sum() + self.same.sum()

    net = Views()
    path = save(net, (torch.ones(2),), tmp_path / "model.pt2")
    stored = LazyTensors(read_program(path, "model.pt2").tensors)
    for name in ("part", "turned", "every_second"):
        assert torch.equal(stored[name], getattr(net, name))
    assert stored["empty"].shape == (0, 3)


def test_neither_torch_nor_the_weights_are_needed(file: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bnlint.artifacts.program_archive import read_program;"
        " found = read_program(Path(sys.argv[1]), ''); assert 'torch' not in sys.modules;"
        " print(len(found.graph_module.graph.nodes), found.tensors['bn1.running_mean'].shape)"
    )
    command = [sys.executable, "-c", program, str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("8 (8,)\n", "")


class Touches:
    """Pickles as a command that makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def commands(canary: Path) -> dict[str, dict[str, Edit]]:
    """The places from which torch's own loader runs commands."""
    saved = io.BytesIO()
    torch.save(Touches(canary), saved)

    def guards(document: Any) -> None:
        document["guards_code"] = [f"open({str(canary)!r}, 'w') is not None"]

    def pickled(name: str, member: str) -> Callable[[Any], None]:
        payload = {"path_name": member, "is_param": False, "use_pickle": True, "tensor_meta": None}
        return lambda document: document["config"].update({name: payload})

    constants = json_edit(pickled("evil", "opaque_obj_0"))
    return {
        "sample inputs": {SAMPLE_INPUTS: saved.getvalue()},
        "guards": on_graph(guards),
        "constants": {CONSTANTS: constants, "data/constants/opaque_obj_0": pickle.dumps(Touches(canary))},
        "weights": {**on_weights(pickled("evil", "weight_99")), "data/weights/weight_99": saved.getvalue()},
    }


@pytest.mark.parametrize("place", ["sample inputs", "guards", "constants", "weights"])
def test_commands_in_a_program_are_not_run(place: str, file: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = edited(file, tmp_path / "evil.pt2", commands(canary)[place])
    report = bnlint.check(path)
    assert report.coverage.calls == 2
    assert not canary.exists()
    with contextlib.suppress(Exception):
        torch.export.load(path).module()(images())
    assert canary.exists(), "torch's own loader runs the command: there was one to miss"


def test_reading_imports_runs_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    places = commands(tmp_path / "canary")
    path = edited(file, tmp_path / "evil.pt2", {**places["sample inputs"], **places["guards"], **places["constants"]})
    program = """
import sys
from pathlib import Path
import bnlint, torch, bnlint.linter
from bnlint.artifacts.program_archive import read_program
from bnlint.tracing.program import trace_program
"".encode("cp437")  # of names in archives
trace_program(read_program(Path(sys.argv[2]), ""))  # what torch imports at the first graph is imported now
def hook(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(("import", "exec", "compile", "socket", "subprocess", "os.", "pickle.", "marshal")):
        if event not in ("os.listdir", "os.scandir", "os.kill"):  # it ends the process that reads
            print(event, arguments, flush=True)
sys.addaudithook(hook)
print(len(trace_program(read_program(Path(sys.argv[1]), "")).norm_calls))
"""
    command = [sys.executable, "-c", program, str(path), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")


def node(document: Any, position: int) -> Any:
    return document["graph_module"]["graph"]["nodes"][position]


def weight(document: Any, name: str = "bn1.running_var") -> Any:
    return document["config"][name]["tensor_meta"]


def weights_at(member: str) -> Callable[[Any], object]:
    return lambda document: document["config"]["bn1.running_var"].update(path_name=member)


def on_graph(change: Callable[[Any], object]) -> dict[str, Edit]:
    return {GRAPH: json_edit(change)}


def on_weights(change: Callable[[Any], object]) -> dict[str, Edit]:
    return {WEIGHTS: json_edit(change)}


def sizes(*numbers: int) -> list[dict[str, int]]:
    return [{"as_int": number} for number in numbers]


DAMAGED: dict[str, tuple[dict[str, Edit], str]] = {
    "no graph": ({GRAPH: None}, "without a program"),
    "JSON that ends early": ({GRAPH: lambda text: text[:-20]}, "damaged"),
    "no JSON": ({GRAPH: b"\xff\x00"}, "damaged"),
    "JSON of another kind": ({GRAPH: b"[1, 2]"}, "damaged"),
    "a million brackets": ({GRAPH: b'{"schema_version": {"major": 8}, "x": ' + b"[" * 10**6}, "damaged"),
    "millions of braces": ({GRAPH: b"{" * (MOST_OBJECTS + 1)}, "more parts than any program"),
    "brackets where they are read": (
        {GRAPH: b'{"schema_version": {"major": 8}, "graph_module": ' + b"[" * 10**6},
        "damaged",
    ),
    "another version": (on_graph(lambda d: d["schema_version"].update(major=9)), "version 9"),
    "a number as target": (on_graph(lambda d: node(d, 0).update(target=1)), "damaged"),
    "a value that is never made": (on_graph(lambda d: node(d, 0).update(outputs=[])), "before it is made"),
    "a value that is made twice": (on_graph(lambda d: node(d, 1).update(outputs=node(d, 0)["outputs"])), "twice"),
    "fewer inputs than the signature": (
        on_graph(lambda d: d["graph_module"]["signature"]["input_specs"].pop()),
        "signature",
    ),
    "an input that is another one": (
        on_graph(lambda d: d["graph_module"]["signature"]["input_specs"].reverse()),
        "signature",
    ),
    "a number that is none": (
        on_graph(lambda d: node(d, 1)["inputs"][7].update(arg={"as_float": "a tenth"})),
        "contradicts itself",
    ),
    "a tensor beyond its storage": (on_weights(lambda d: weight(d).update(sizes=sizes(9))), "beyond its storage"),
    "an offset beyond its storage": (
        on_weights(lambda d: weight(d).update(storage_offset={"as_int": 2**61})),
        "beyond its storage",
    ),
    "two programs": ({GRAPH: None, "models/a.json": b"{}", "models/b.json": b"{}"}, "several programs: `a`, `b`"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_programs_get_one_sentence(name: str, file: Path, tmp_path: Path) -> None:
    edits, words = DAMAGED[name]
    with pytest.raises(NotAnalysedError, match=words):
        bnlint.check(edited(file, tmp_path / "model.pt2", edits))


UNKNOWN_VALUES: dict[str, dict[str, Edit]] = {
    "no such member": on_weights(weights_at("../../../etc/passwd")),
    "no bytes": on_weights(weights_at("nothing")) | {"data/weights/nothing": b""},
    "an unknown data type": on_weights(lambda d: weight(d).update(dtype=99)),
    "a negative size": on_weights(lambda d: weight(d).update(sizes=sizes(-8))),
    "a view of terabytes": on_weights(lambda d: weight(d).update(sizes=sizes(2**45), strides=sizes(0))),
    "in a pickle": on_weights(lambda d: d["config"]["bn1.running_var"].update(use_pickle=True)),
    "of the other byte order": {"byteorder": b"big" if sys.byteorder == "little" else b"little"},
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN_VALUES)
def test_values_that_cannot_be_had_are_unknown_and_the_graph_is_read(name: str, file: Path, tmp_path: Path) -> None:
    table = bnlint.inspect(edited(file, tmp_path / "model.pt2", UNKNOWN_VALUES[name]))
    assert [(record.layer, record.uses_batch_statistics) for record in table.norms] == [("bn1", False), ("bn2", False)]
    assert table.norms[0].negative_variances is UNKNOWN


@pytest.mark.parametrize("number", [2**62, 2**40, -1])
def test_sizes_of_the_graph_that_cannot_be_are_unknown(number: int, file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        for tensor in document["graph_module"]["graph"]["tensor_values"].values():
            tensor.update(sizes=sizes(*[number] * 4))

    table = bnlint.inspect(edited(file, tmp_path / "model.pt2", on_graph(change)), batch_size=2)
    assert table.norms[0].input_shape is UNKNOWN


def test_archives_that_torch_does_not_write_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAnalysedError, match="compressed"):
        bnlint.check(edited(file, tmp_path / "small.pt2", {}, zipfile.ZIP_DEFLATED))
    twice = edited(file, tmp_path / "twice.pt2", {})
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"other")
    with pytest.raises(NotAnalysedError, match="two members"):
        bnlint.check(twice)


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_files_that_were_cut_short(percent: int, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt2"
    data = file.read_bytes()
    path.write_bytes(data[: len(data) * percent // 100])
    with pytest.raises(NotAnalysedError, match=r"cut short|empty"):
        bnlint.check(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_change_of_the_graph_is_read_or_refused(
    changes: list[tuple[float, int]], file: Path, tmp_path: Path
) -> None:
    def change(text: bytes) -> bytes:
        data = bytearray(text)
        for place, byte in changes:
            data[int(place * len(data))] = byte
        return bytes(data)

    with contextlib.suppress(BnlintError):
        report = bnlint.check(edited(file, tmp_path / "changed.pt2", {GRAPH: change}))
        assert report.coverage.form == "exported_program"
