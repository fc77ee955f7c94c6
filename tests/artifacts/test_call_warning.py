"""A file that holds a call and cannot be analysed: the first thing said is what loading it would call."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from bnlint.artifacts.call_warning import unusual_calls
from bnlint.artifacts.powerful import Danger, danger_of
from bnlint.artifacts.read import read
from bnlint.cli.main import cli
from bnlint.errors import BnlintError, NoModelError, NotAnalysedError, UsageError
from tests.artifacts.inert.calling import CALLING, DAMAGES, SYSTEM, call, forms, text
from tests.artifacts.inert.hostile import Calls, raw, saved
from tests.cli.hostile_contents import in_zip

HARMLESS = ("instead", "again", "import string", "--trust", "environment")
"""Words of advice that would make a file read as one to be loaded."""


def refused(path: Path, content: bytes, **options: object) -> BnlintError:
    path.write_bytes(content)
    with pytest.raises(BnlintError) as caught:
        read(str(path), **options)  # type: ignore[arg-type]
    return caught.value


def assert_warns(error: BnlintError, path: Path, called: str) -> None:
    assert error.cause.startswith(f"Loading `{path}` would call `{called}`"), error.cause
    if danger_of(called) < Danger.UNKNOWN:
        assert error.hint.endswith("Do not load it.")
        assert not [words for words in HARMLESS if words in error.hint]
        assert not isinstance(error, NoModelError), "it would be passed over in a folder"
    else:
        assert error.hint.endswith("Load it only if you know who made it.")
    assert error.exit_code == 3


@pytest.mark.parametrize("case", CALLING)
def test_a_call_in_every_way(case: str, tmp_path: Path) -> None:
    called, opcodes = CALLING[case]
    path = tmp_path / "evil.pkl"
    for protocol in (b"", b"\x80\x02"):
        assert_warns(refused(path, raw(protocol, opcodes, b".")), path, called)


@pytest.mark.parametrize("case", ["REDUCE", "INST", "getattr of a module", "nested as a storage", "cProfile"])
def test_a_call_in_every_form_whole_and_damaged(case: str, tmp_path: Path) -> None:
    called, opcodes = CALLING[case]
    path = tmp_path / "evil.pt"
    for end in (b".", *DAMAGES.values()):
        for form, content in forms(raw(b"\x80\x02", opcodes, end)):
            error = refused(path, content)
            assert error.cause.startswith(f"Loading `{path}` would call `{called}`"), (form, end, error.cause)
            assert error.hint == "Do not load it.", (form, end)


def test_several_calls_are_counted_the_most_dangerous_first(tmp_path: Path) -> None:
    calls = ("statistics.fmean", "statistics.mode", "socket.socket", "statistics.median", "builtins.eval")
    path = tmp_path / "evil.pkl"
    error = refused(path, raw(b"](", *(call(name, "a") for name in calls), b"e."))
    listed = "`builtins.eval`, `socket.socket`, `statistics.fmean` and 2 more"
    assert error.cause == f"Loading `{path}` would call {listed}; `{path}` holds a `list`, not a model or its weights."
    assert unusual_calls(calls)[:2] == ["builtins.eval", "socket.socket"]
    error = refused(path, raw(b"](", *(call(name, "a") for name in calls[:3]), b"e."))
    assert "would call `socket.socket`, `statistics.fmean` and `statistics.mode`; " in error.cause


def test_the_usual_calls_are_none_to_warn_of(tmp_path: Path) -> None:
    path = tmp_path / "tensor.pt"
    error = refused(path, saved([torch.ones(2), OrderedDict(a=1)]))
    assert error.cause == f"`{path}` holds a `list`, not a model or its weights."
    assert error.hint == "Save `model.state_dict()` instead."
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    assert refused(path, saved(optimizer)).cause.startswith(f"`{path}` holds a pickled `torch.optim.sgd.SGD`")


@pytest.mark.parametrize("name", ["mine.Settings", "sklearn.svm._classes.SVC", "statistics.fmean"])
def test_a_foreign_call_is_said_and_no_harm_is_claimed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    error = refused(path, raw(b"\x80\x02", call(name, "a"), b"."))
    assert error.cause.startswith(f"Loading `{path}` would call `{name}`; ")
    assert error.hint == "Load it only if you know who made it."
    assert isinstance(error, NoModelError), "a classifier of another library in a folder is no failure"


@pytest.mark.parametrize(
    ("name", "danger"),
    [
        ("posix.system", Danger.RUNS),
        ("cProfile.runctx", Danger.RUNS),
        ("uuid._get_command_stdout", Danger.RUNS),
        ("numpy.os.system", Danger.RUNS),
        ("torch.serialization.os.system", Danger.RUNS),
        ("torch.hub.load", Danger.RUNS),
        ("functools.reduce", Danger.UNKNOWN),
        ("argparse.FileType", Danger.REACHES_OUT),
        ("socket.socket", Danger.REACHES_OUT),
        ("mine.Net", Danger.UNKNOWN),
        ("mine.os_utils.Net", Danger.UNKNOWN),
        ("argparse.Namespace", Danger.USUAL),
        ("torch._utils._rebuild_tensor_v2", Danger.USUAL),
        ("builtins.set", Danger.USUAL),
    ],
)
def test_what_a_name_can_do(name: str, danger: Danger) -> None:
    assert danger_of(name) is danger


def weights_with_a_call() -> bytes:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    return saved({"a": model.state_dict(), "b": model.state_dict(), "evil": Calls(os.system, "id")})


def test_a_key_that_is_not_there_and_one_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    error = refused(path, weights_with_a_call(), key="c")
    assert isinstance(error, UsageError)
    assert error.cause == f"Loading `{path}` would call `posix.system`; `{path}` has no `c`."
    assert error.hint == "It has `a`, `b`. Do not load it."
    error = refused(path, weights_with_a_call())
    assert error.cause.startswith(f"Loading `{path}` would call `posix.system`; `{path}` holds several models")
    assert error.hint == "Choose one with `--key`. Do not load it."
    assert read(str(path), key="a").saved is not None


def test_weights_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.pt").write_bytes(saved({"model": nn.Linear(2, 3).state_dict(), "evil": Calls(os.system, "id")}))
    with pytest.raises(NotAnalysedError) as caught:
        read("torch.nn:Linear", kwargs={"in_features": 2, "out_features": 2}, weights="evil.pt")
    assert caught.value.cause.startswith("Loading `evil.pt` would call `posix.system`; `evil.pt` does not fit")


def test_shards(tmp_path: Path) -> None:
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"bn.weight": "part.bin"}}))
    part = tmp_path / "part.bin"
    for content in (in_zip(raw(b"\x80\x02", SYSTEM, b".")), saved({"x": torch.ones(1), "y": Calls(os.system, "id")})):
        part.write_bytes(content)
        for target in (index, tmp_path):
            with pytest.raises(NotAnalysedError) as caught:
                read(str(target))
            assert caught.value.cause.startswith("Loading `"), caught.value.cause
            assert "part.bin` would call `posix.system`; " in caught.value.cause
            assert caught.value.hint == "Do not load it."


def test_the_list_of_a_checkpoint_folder(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(raw(b"\x80\x02", SYSTEM, b"."))
    with pytest.raises(NotAnalysedError) as caught:
        read(str(tmp_path))
    assert_warns(caught.value, tmp_path, "posix.system")


def test_a_pickle_in_a_package(tmp_path: Path) -> None:
    path = tmp_path / "package.pt"
    members = {".data/extern_modules": b"os\n", "net/model.pkl": raw(b"\x80\x02", SYSTEM, b".")}
    assert_warns(refused(path, in_zip(b"", **members)), path, "posix.system")


def command(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    error = done.exception
    return getattr(error, "status", done.return_value or done.exit_code), done.stdout, str(error)


def test_a_whole_model_is_not_recommended_to_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    network.note = Calls(os.system, "id")
    torch.save(network, path)
    status, _, said = command("fold", str(path), "--dry-run")
    assert status == 3
    assert said.startswith(f"bnlint: Loading `{path}` would call `posix.system`; ")
    assert "--trust" not in said
    status, report, _ = command("check", str(path), "--format", "json")
    assert status == 1, "what can be analysed keeps its finding"
    assert "BN004" in report
    assert "--trust" not in json.dumps(json.loads(report)["not_run"])


def test_a_folder_does_not_pass_over_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.bin").write_bytes(raw(b"(", text("id"), b"iposix\nsystem\n."))
    Path("notes").write_bytes(raw(SYSTEM, b"."))
    Path("good.pt").write_bytes(saved(nn.BatchNorm1d(2).state_dict()))
    status, report, _ = command("check", ".", "--format", "json")
    causes = [line["cause"] for line in map(json.loads, report.splitlines()) if "cause" in line]
    assert [cause.partition(";")[0] for cause in causes] == [
        "Loading `evil.bin` would call `posix.system`",
        "Loading `notes` would call `posix.system`",
    ]
    assert status in (1, 3)


def test_what_is_called_by_another_call_is_listed_where_the_file_can_be_analysed(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(saved({"model": nn.BatchNorm1d(2).state_dict(), "x": Calls(map, os.system, ["id"])}))
    status, report, _ = command("inspect", str(path), "--format", "json")
    assert status == 0
    facts = json.loads(report)["model"]
    assert facts["powerful_calls"] == ["posix.system"]
    assert facts["foreign_calls"] == ["builtins.map"]
