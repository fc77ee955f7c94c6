"""Hostile files through the command line: none runs or writes anything, each ends in a report or a sentence."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.artifacts.inert.hostile import commands
from tests.artifacts.known.pickles import Call, Name, module, write
from tests.cli.hostile_contents import archives, onnx_files, pickles, safetensors
from tests.cli.hostile_files import CODE, PACKAGE, Factory, sound_files
from tests.cli.hostile_runs import ROOT, Ended, run_all

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

MOST_SECONDS = 10
"""For one file; the slowest takes about a second on an idle machine."""

MOST_MEGABYTES = 700
"""Of the process that writes the report: torch and onnx take a third of it. The one that reads pickles has its own."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return sound_files(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def make(tmp_path: Path, sound: dict[str, bytes]) -> Factory:
    """Makes hostile files in a folder of their own; beside it a package that may be admitted."""
    for name in ("files", f"site/{PACKAGE}", "sound"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "site" / PACKAGE / "__init__.py").write_text(CODE.format(canary=str(tmp_path / "canary")))
    for name, content in sound.items():
        (tmp_path / "sound" / name.replace("index", "model.index.json")).write_bytes(content)
    (tmp_path / "sound" / "shard").write_bytes(sound["safetensors"])
    (tmp_path / "sound" / "cut").write_bytes(sound["zip"][:-9])
    write(tmp_path / "sound" / "admitted", module(Name(PACKAGE, "Model")))
    return Factory(tmp_path / "files", tmp_path / "canary", sound)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def assert_harmless(folder: Path, files: Iterable[tuple[str, Path]], command: tuple[str, ...] = ("check",)) -> None:
    """Nothing runs, nothing is written, and each file ends in a report or in one sentence."""
    cases = dict(files)
    before = sorted(map(str, folder.rglob("*")))
    benign = [[*command, str(path)] for path in sorted((folder / "sound").iterdir())]
    ended = run_all(benign, [[*command, str(path)] for path in cases.values()], folder)
    wrong = {name: why for name, one in zip(cases, ended, strict=True) if (why := what_is_wrong(one))}
    assert not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items())
    assert sorted(map(str, folder.rglob("*"))) == before, "the canary, or what else was written"


def what_is_wrong(ended: Ended) -> str:
    said = ended.out + ended.err
    if ended.code not in (0, 1, 3) or "Traceback" in said or "\x1b" in said:
        return f"{ended.code} {said!r}"
    if ended.err.count("\n") > 1 or (ended.code == 3 and not ended.err.startswith("bnlint: ") and not ended.out):
        return f"no sentence: {ended.err!r}"
    if ended.seconds > MOST_SECONDS or ended.megabytes > MOST_MEGABYTES:
        return f"{ended.seconds:.1f} s, {ended.megabytes:.0f} MB"
    return ""


def test_the_commands_would_run_if_they_were_loaded(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(commands(tmp_path / "canary")["os.system"]))
    assert (tmp_path / "canary").exists()


def test_pickles(make: Factory, canary: Path, tmp_path: Path) -> None:
    assert_harmless(tmp_path, [(name, make.file(content)) for name, content in pickles(canary)])


def test_pickles_of_which_the_facts_are_listed(make: Factory, canary: Path, tmp_path: Path) -> None:
    cases = [(name, make.file(content)) for name, content in pickles(canary) if "2 " in name]
    assert_harmless(tmp_path, cases, ("inspect",))


def test_a_folder_of_pickles_in_several_processes(
    make: Factory, canary: Path, sound: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "files" / "sound.pt").write_bytes(sound["zip"])
    for name, content in pickles(canary):
        if "system" in name or "nested" in name:
            make.file(content).rename(tmp_path / "files" / f"{name.replace(' ', '_').replace('.', '_')}.pt")
    command = [sys.executable, "-m", "bnlint", "check", "files", "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert done.returncode in (0, 1, 3), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "files/sound.pt" in done.stdout
    assert not canary.exists()


def test_every_other_form(make: Factory, canary: Path, tmp_path: Path) -> None:
    contents = [*archives(), *safetensors(), *onnx_files(canary)]
    assert_harmless(
        tmp_path,
        [
            *((name, make.file(content)) for name, content in contents),
            *make.programs(),
            ("TorchScript", make.torchscript()),
            *make.packages(),
            *make.distributed(),
            *make.hugging_face(),
            *make.disguised(),
        ],
    )


def test_a_package_that_is_admitted_is_not_at_the_files_disposal(make: Factory, canary: Path, tmp_path: Path) -> None:
    held = {
        "a call": Call(Name(PACKAGE, "run"), ("x",)),
        "a class with a __setstate__": Call(Name(PACKAGE, "Plain"), (), {"a": 1}),
        "a module that it imports": Call(Name(f"{PACKAGE}.os", "system"), ("x",)),
        "os.system": Call(Name("os", "system"), (f"touch {canary}",)),
    }
    files = [(name, write(make.place(), module(Name(PACKAGE, "Model"), value=value))) for name, value in held.items()]
    assert_harmless(tmp_path, files, ("check", "--allow", PACKAGE))


def test_files_that_were_cut(make: Factory, sound: dict[str, bytes], tmp_path: Path) -> None:
    cut = [
        (f"{form} at {percent} %", make.file(content[: len(content) * percent // 100]))
        for form, content in sound.items()
        for percent in (*range(0, 100, 10), 1, 33, 99)  # every one: tests/artifacts/inert/test_hostile.py
    ]
    assert_harmless(tmp_path, cut)


def test_files_with_flipped_bits(make: Factory, sound: dict[str, bytes], tmp_path: Path) -> None:
    chance, flipped = random.Random(0), []
    for form, content in sound.items():
        for number in range(15):  # more of them: tests/artifacts/inert/test_hostile.py
            changed = bytearray(content)
            for _ in range(chance.randint(1, 8)):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            flipped.append((f"{form} {number}", make.file(bytes(changed))))
    assert_harmless(tmp_path, flipped)
