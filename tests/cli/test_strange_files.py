"""Files that are no files, and names that are no names: one sentence at once, and nothing beside them is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
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
from tests.cli.hostile_runs import run_all
from tests.cli.sparse_files import DATA, TARGETS
from tests.cli.test_hostile import MOST_MEGABYTES, MOST_SECONDS
from tests.models import with_plausible_statistics

pytestmark = [pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes"), pytest.mark.timeout(60)]

CODE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
"""


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
    Path("nets.py").write_text(CODE)
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


@pytest.fixture
def strange(folder: Path) -> Iterator[Path]:
    """A folder with all that is strange beside three good models, one of them far below."""
    for kind, make in KINDS.items():
        make(folder / f"{kind}.pth")
        make(folder / f"{kind}.txt")
    os.mkfifo("x.safetensors.index.json")
    Path("link.pth").symlink_to("nowhere")
    Path("circle.pth").symlink_to("circle.pth")
    Path("circle").symlink_to(".", target_is_directory=True)
    Path("empty.pth").touch()
    shutil.copy("good.pth", b"\xff\n\x1b[2J\xe2\x80\xae.pth")
    for levels, name in ((1100, "d"), (100, "e" * 100)):
        for _ in range(levels):
            Path(name).mkdir()
            os.chdir(name)
        shutil.copy(folder / "good.pth", "below.pth")
        os.chdir(folder)
    yield folder
    subprocess.run(["rm", "-r", folder / "d", folder / ("e" * 100)], check=True)  # pytest's own way is not so deep


def test_nothing_strange_in_a_folder_costs_any_other_file(strange: Path, run: Run) -> None:
    ended = run("check", ".", "x" * 100_000, "nul\0byte", "good.pth", "./good.pth", "--format", "json", "--jobs", "2")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    found = {line["target"]: line.get("cause", "").replace(line["target"], "") for line in lines if "target" in line}
    deep = "d/" * 1100 + "below.pth"
    assert {name for name, cause in found.items() if not cause} == {"good.pth", deep, "\\udcff\n\x1b[2J\u202e.pth"}
    assert "itself" not in "".join(found.values())
    refused = {f"{kind}.pth": "not a regular file" for kind in KINDS} | {
        "x.safetensors.index.json": "not a regular file",
        "link.pth": "a link to a file that is not there",
        "circle.pth": "Too many levels of symbolic links",
        "empty.pth": "empty",
        "nul\0byte": "neither an existing file nor an import string",
        "x" * 100_000: "neither an existing file nor an import string",
    }
    for name, words in refused.items():
        assert words in found.pop(name)
    (too_long,) = [cause for name, cause in found.items() if name.startswith("e" * 100)]
    assert "File name too long" in too_long
    assert len(found) == 4
    assert ended.code == 2, "of the names that are none"


def test_names_do_not_act_on_the_terminal(run: Run) -> None:
    shutil.copy("good.pth", b"\xff\n\x1b[2J\xe2\x80\xae.pth")
    for format_ in ("concise", "full"):
        said = run("check", b"\xff\n\x1b[2J\xe2\x80\xae.pth".decode(errors="surrogateescape"), "--format", format_)
        assert "\\udcff\\n\\x1b[2J\\u202e.pth" in said.out.replace("\n        ", "")
        assert not {"\x1b", "\u202e"} & set(said.out + said.err)


ODD = {"nul": "nul\0byte", "long": "x" * 100_000, "no text": "\ud800", "circle": "circle", "below a file": "good.pth/x"}
PLACES: tuple[tuple[str, ...], ...] = (
    ("check", "{}"),
    ("inspect", "{}.pth"),
    ("check", "{}:Net"),
    ("fold", "{}", "--in-place"),
    ("check", "nets:Net", "--weights", "{}"),
    ("check", "nets:Net", "--data", "{}"),
    ("check", "nets:Net", "--input", "{}.pt"),
    ("check", "good.pth", "--config", "{}"),
    ("check", "good.pth", "--config", "{}.toml"),
    ("check", "good.pth", "--rules", "{}"),
    ("rules", "--rules", "{}"),
    ("fold", "good.pth", "-o", "{}"),
    ("fold", "good.pth", "-o", "{}", "--overwrite"),
    ("fold", "good.pth", "-o", "{}/x.pth"),
    ("verify", "{}", "--against", "good.pth"),
    ("verify", "good.pth", "--against", "{}"),
    ("check", "{}[*]"),
    ("check", "{}/**"),
)


@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_a_name_that_the_system_refuses_is_a_sentence(place: tuple[str, ...], run: Run) -> None:
    Path("circle").symlink_to("circle")
    for odd in ODD.values():
        ended = run(*(argument.replace("{}", odd) for argument in place))
        assert is_a_sentence(ended), (odd[:20], ended.code, ended.err[:200], ended.err[-200:])


NUMBERS: dict[str, tuple[tuple[str, ...], int]] = {
    "an axis of digits": (("--input", "9" * 5000 + "x3"), 2),
    "an axis of more than 64 bits": (("--input", "99999999999999999999x3"), 2),
    "more elements than 64 bits": (("--input", "9999999999x9999999999x9"), 2),
    "a padded axis of digits": (("--padding", "9" * 5000), 2),
    "an option of digits": (("--option", "BN301.minimum_values=" + "9" * 10_000), 2),
    "an option without end": (("--option", "BN301.minimum_values=1e999"), 2),
    "arguments of digits": (("--kwargs", "{a: " + "9" * 10_000 + "}"), 2),
    "no number of seconds": (("--timeout", "nan"), 2),
    "seconds without end": (("--timeout", "inf", "--input", "2x3x8x8"), 1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_nobody_means_are_a_sentence(name: str, run: Run) -> None:
    arguments, code = NUMBERS[name]
    ended = run("check", "nets:Net", *arguments)
    assert ended.code == code
    assert "itself failed" not in ended.err
    assert "timestamp" not in ended.out


def test_a_folder_that_is_gone_is_a_sentence(folder: Path, run: Run) -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    ended = run("check", str(folder / "good.pth"))
    os.chdir(folder)
    assert (ended.code, ended.err) == (2, "bnlint: The current folder is not there any more. Change to one that is.\n")


def test_a_pattern_of_thousands_of_parts_is_a_sentence(run: Run) -> None:
    ended = run("check", "*/" * 2000)
    assert ended.code == 2
    assert "has more parts than any path" in ended.err


def test_an_output_whose_record_could_not_be_called_is_refused_before_any_work(run: Run) -> None:
    ended = run("fold", "good.pth", "-o", "x" * 248 + ".pth")
    assert ended.code == 2
    assert "cannot be written: File name too long" in ended.err


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How checks of enormous files ended, and what they took."""
    folder = tmp_path_factory.mktemp("sparse")
    (folder / ".git").mkdir()
    (folder / "nets.py").write_text(CODE)
    torch.save(network(), folder / "good.pth")
    torch.save(torch.zeros(4, 3, 8, 8), folder / "good.pt")
    runs = {}
    for number, (name, make) in enumerate(TARGETS.items()):
        make(folder / str(number))
        runs[name] = ["check", str(number)]
    for name, make in DATA.items():
        make(folder / name)
        runs[name] = ["check", "nets:Net", "--data", name]
    benign = [["check", "good.pth"], ["check", "nets:Net", "--data", "good.pt"]]
    return dict(zip(runs, run_all(benign, [*runs.values()], folder), strict=True))


@pytest.mark.parametrize("name", [*TARGETS, *DATA])
def test_what_is_said_to_be_enormous_costs_neither_time_nor_memory(name: str, sparse: dict[str, Ended]) -> None:
    ended = sparse[name]
    assert ended.code == 3
    assert ended.err.startswith("bnlint: ")
    assert ended.err.count("\n") == 1
    assert ended.seconds < MOST_SECONDS
    assert ended.megabytes < MOST_MEGABYTES


SETTINGS = {
    "lists in lists": ("bnlint.yaml", "ignore: " + "[" * 50_000 + "]" * 50_000),
    "NUL": ("bnlint.yaml", 'rules: ["a\\0b"]'),
    "digits": ("pyproject.toml", "[tool.bnlint]\nbatch_size=" + "9" * 10_000),
    "a key of many parts": ("pyproject.toml", "[tool.bnlint]\n" + "a." * 40_000 + "a=1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_beyond_all_limits_are_a_sentence_with_the_line(name: str, run: Run) -> None:
    file, text = SETTINGS[name]
    Path(file).write_text(text)
    ended = run("check", "good.pth")
    assert is_a_sentence(ended)
    assert ended.code == 2
    assert ended.err.startswith(f"bnlint: {file}:{text.count(chr(10)) + 1}: ")
