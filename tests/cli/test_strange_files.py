"""Files that are no files, and names that are no names: one sentence at once, and nothing beside them is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn

from bnlint.config import FILES
from tests.cli.conftest import Ended, Run
from tests.models import with_plausible_statistics

pytestmark = [pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes"), pytest.mark.timeout(60)]

LINES = ("class Net(nn.Sequential):", "    def __init__(self):", "        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))")


def network() -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a repository of its own, with a model `good.pth` and a module of which one can be made."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.save(network(), "good.pth")
    Path("nets.py").write_text("\n".join(["from torch import nn", *LINES]))
    yield tmp_path
    sys.modules.pop("nets", None)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        opened.bind(path.name)
        os.chdir(here)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


def weights_folder(*names: str, kind: str = "pipe", weights: bool = True) -> None:
    """A folder `model` in which some files are no files."""
    Path("model").mkdir()
    for name in names:
        KINDS[kind](Path("model", name))
    if weights:
        save_file(network().state_dict(), "model/model.safetensors")


def sharded(shard: str) -> None:
    weights_folder(shard, weights=False)
    index = {"weight_map": dict.fromkeys(network().state_dict(), shard)}
    Path("model/model.safetensors.index.json").write_text(json.dumps(index))


def distributed(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(network().state_dict(), checkpoint_id="model", no_dist=True)
    Path("model", name).unlink()
    os.mkfifo(f"model/{name}")


def alone(name: str) -> Callable[[], None]:
    return lambda: os.mkfifo(name)


def rules() -> None:
    Path("own").mkdir()
    os.mkfifo("own/rule.yaml")


def record() -> None:
    shutil.copy("good.pth", "folded.pth")
    os.mkfifo("folded.pth.bnlint.json")


CASES: dict[str, tuple[Callable[[], None], tuple[str, ...], str]] = {
    "a target": (alone("x.pth"), ("check", "x.pth"), "`x.pth` is not a regular file"),
    "a target of inspect": (alone("x.pth"), ("inspect", "x.pth"), "`x.pth` is not a regular file"),
    "a target of fold": (alone("x.pth"), ("fold", "x.pth", "--dry-run"), "`x.pth` is not a regular file"),
    "a target that is trusted": (alone("x.pth"), ("check", "x.pth", "--trust"), "`x.pth` is not a regular file"),
    "an index": (lambda: weights_folder("model.safetensors.index.json"), ("inspect", "model"), "is not a regular file"),
    "an index by name": (alone("x.index.json"), ("check", "x.index.json"), "`x.index.json` is not a regular file"),
    "weights": (
        lambda: weights_folder("config.json", "model.safetensors", weights=False),
        ("check", "model"),
        "`model/model.safetensors` is not a regular file",
    ),
    "a shard": (lambda: sharded("x.safetensors"), ("inspect", "model"), "`model/x.safetensors` is not a regular file"),
    "a list of chunks": (
        lambda: distributed(".metadata"), ("check", "model"), "`model/.metadata` is not a regular file",
    ),
    "chunks": (lambda: distributed("__0_0.distcp"), ("check", "model"), "`__0_0.distcp` is not a regular file"),
    "weights for a model": (
        alone("x.pth"), ("check", "nets:Net", "--weights", "x.pth"), "`x.pth` is not a regular file",
    ),
    **{
        f"data {suffix}": (
            alone(f"x{suffix}"), ("check", "nets:Net", "--data", f"x{suffix}"), f"`x{suffix}` is not a regular file",
        )
        for suffix in (".pt", ".npz", ".npy", ".safetensors")
    },
    "an input": (alone("x.pt"), ("check", "nets:Net", "--input", "x.pt"), "`x.pt` is not a regular file"),
    "an input of the proof": (
        alone("x.pt"), ("fold", "good.pth", "-o", "out.pth", "--verify-inputs", "x.pt"), "`x.pt` is not a regular file",
    ),
    **{
        f"settings {name}": (alone(name), ("check", "good.pth"), f"{name} cannot be read: it is a pipe")
        for name in (*FILES, "pyproject.toml")
    },
    "settings by name": (alone("x.toml"), ("check", "good.pth", "--config", "x.toml"), "x.toml cannot be read"),
    "a rule": (rules, ("check", "good.pth", "--rules", "own"), "own/rule.yaml cannot be read: it is a pipe"),
    "a record": (record, ("verify", "folded.pth", "--against", "good.pth"), "cannot be read: it is a pipe"),
    "a folded file": (alone("x.pth"), ("verify", "x.pth", "--against", "good.pth"), "`x.pth` is not a regular file"),
    "an original": (alone("x.pth"), ("verify", "good.pth", "--against", "x.pth"), "`x.pth` is not a regular file"),
    "an output": (alone("x.pth"), ("fold", "good.pth", "-o", "x.pth", "--overwrite"), "is not a regular file"),
    "a device as output": (lambda: None, ("fold", "good.pth", "-o", "/dev/null", "--overwrite"), "not a regular file"),
}  # fmt: skip


def is_a_sentence(ended: Ended) -> bool:
    lines = ended.err.removesuffix("\n").split("\n")
    return ended.code in (2, 3) and len(lines) == 1 and lines[0].startswith("bnlint: ") and "itself" not in lines[0]


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_under_any_name_is_not_waited_for(name: str, run: Run) -> None:
    make, arguments, words = CASES[name]
    make()
    ended = run(*arguments)
    assert is_a_sentence(ended), ended
    assert words in ended.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [(), ("--jobs", "2", "--file-timeout", "30")])
def test_what_is_no_file_in_a_folder_costs_no_other_file(kind: str, arguments: tuple[str, ...], run: Run) -> None:
    weights_folder("x.pth", "x.safetensors.index.json", "config.txt", kind=kind)
    shutil.copy("good.pth", "model")
    ended = run("check", "model", "--format", "json", *arguments)
    found = {model["target"]: model for model in map(json.loads, ended.out.splitlines()) if "target" in model}
    assert ended.code == 3
    assert found.keys() == {f"model/{name}" for name in ("good.pth", "model.safetensors", "x.pth", "x.safetensors.index.json")}
