"""`bnlint check` on several files, folders and patterns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bnlint.cli import progress
from tests.cli.conftest import Run, returns
from tests.cli.test_check import Terminal
from tests.models import with_plausible_statistics
from tests.reporters.reports import report


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh model, a good one and one that is cut short, in a folder within the current one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    (folder / "inner").mkdir(parents=True)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(model.state_dict(), folder / "fresh.pt")
    torch.save(with_plausible_statistics(model).state_dict(), folder / "inner" / "good.pt")
    (folder / "cut.pt").write_bytes((folder / "fresh.pt").read_bytes()[:700])
    (folder / "README.md").write_text("models")
    return folder


def test_a_folder_is_one_report(run: Run, models: Path) -> None:
    ended = run("check", "models", "--no-config")
    assert ended.code == 1
    assert ended.err == ""
    failed, fresh, good = (
        ended.out.index(text) for text in ("failed `models/cut.pt`", "BN501", "models/inner/good.pt")
    )
    assert failed < fresh < good
    last = " ".join(ended.out.split("\n\n")[-1].split())
    assert last == ("3 models: 1 with errors, 1 could not be analysed, 1 without findings · 1 other file skipped")


def test_a_pattern_as_lines(run: Run, models: Path) -> None:
    ended = run("check", "models/**/*.pt", "--format", "concise", "--jobs", "2", "--select", "BN501", "--no-config")
    assert ended.code == 1
    fresh, *others = ended.out.splitlines()[1:]
    assert ended.out.startswith("models/cut.pt: not-analysed: ")
    assert fresh.startswith("models/fresh.pt:1: BN501 error")
    assert others == []
    assert ended.err == "bnlint: 3 models: 1 with errors, 1 could not be analysed, 1 without findings\n"


def test_json_is_a_line_for_each_and_the_exit_code_is_that_of_the_summary(run: Run, models: Path) -> None:
    save_file(torch.load(models / "inner" / "good.pt"), models / "good.safetensors")
    remote = f"file://{models}/*.safetensors"
    ended = run("check", "models/cut.pt", remote, "--format", "json", "--no-config")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["schema"] for line in lines] == ["bnlint-report-v1", "bnlint-failure-v1", "bnlint-summary-v1"]
    assert lines[0]["target"] == f"file://{models}/good.safetensors"
    assert [line["exit_code"] for line in lines] == [0, 3, 3]
    assert ended.code == 3


def test_what_a_model_prints_is_no_part_of_the_report(run: Run, models: Path) -> None:
    (models.parent / "chatty.py").write_text(
        "import os, sys\nfrom torch import nn\nprint('hello')\nos.write(1, b'raw')\nassert sys.stdin.read() == ''\n"
        "model = nn.Sequential(nn.BatchNorm2d(3)).eval()\n"
    )
    ended = run("check", "chatty:model", "models/inner/good.pt", "--format", "json", "--no-config")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line.get("target") for line in lines] == ["chatty:model", "models/inner/good.pt", None]
    assert [line.get("cause") for line in lines] == [None] * 3
    assert lines[0]["coverage"]["layers"] == 1


def test_one_target_is_checked_as_ever(run: Run, models: Path, linter: types.ModuleType) -> None:
    linter.check = returns(report())  # type: ignore[attr-defined]
    assert json.loads(run("check", "models/fresh.pt", "--format", "json").out)["schema"] == "bnlint-report-v1"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("models", "--weights", "w.pt"), 2, "`--weights` belongs to one model"),
        (("a.pt", "b.pt", "--kwargs", "{a: 1}"), 2, "`--kwargs` belongs to one model"),
        (("models/*.onnx",), 2, "No file matches `models/*.onnx`."),
        (("models", "--select", "BN999"), 2, "BN999"),
        (("models", "--jobs", "0"), 2, "--jobs"),
        (("empty",), 3, "There is no model in `empty`"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Run, models: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    Path("empty").mkdir()
    ended = run("check", *arguments, "--no-config")
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err


def test_a_key_chooses_in_every_command(run: Run, models: Path) -> None:
    good, fresh = torch.load(models / "inner" / "good.pt"), torch.load(models / "fresh.pt")
    torch.save({"ema": good, "raw": fresh}, "both.pt")
    assert run("check", "both.pt", "--key", "ema", "--no-config").code == 0
    assert run("check", "both.pt", "--key", "raw", "--no-config").code == 1
    assert run("inspect", "both.pt", "--key", "ema").code == 0
    for command in (("check", "both.pt"), ("inspect", "both.pt"), ("fold", "both.pt", "--dry-run")):
        ended = run(*command, "--key", "teacher")
        assert ended.code == 2
        assert ended.err.strip() == "bnlint: `both.pt` has no `teacher`. It has `ema`, `raw`."
    for command in (("check", "both.pt"), ("inspect", "both.pt"), ("fold", "both.pt", "--dry-run")):
        ended = run(*command, "--key", "")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.strip() == (
            "bnlint: --key is empty. Name an entry, or leave the option out for the usual one."
        )
    ended = run("fold", "both.pt", "--key", "ema", "--in-place")
    assert ended.code == 2
    assert "would replace the whole file" in ended.err


def test_a_key_chooses_the_weights_to_fold_and_the_original_to_verify_against(run: Run, models: Path) -> None:
    (models.parent / "nets.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))\n"
    )
    torch.save({"ema": torch.load(models / "inner" / "good.pt"), "raw": torch.load(models / "fresh.pt")}, "both.pt")
    folded = run("fold", "nets:net", "--weights", "both.pt", "--key", "ema", "-o", "folded.pt", "--input", "1x3x4x4")
    assert folded.code == 0, folded.err
    against = ("--against", "both.pt", "--model", "nets:net", "--input", "1x3x4x4")
    assert run("verify", "folded.pt", *against, "--key", "ema").code == 0
    assert run("verify", "folded.pt", *against, "--key", "raw").code != 0


def test_an_interrupt_ends_every_process(models: Path) -> None:
    note = models.parent / "worker"
    (models.parent / "slow.py").write_text(
        f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(300)\n"
    )
    command = [sys.executable, "-m", "bnlint", "check", "slow:model", "models", "--format", "json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # under nohup it is ignored, and children inherit that
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (note.exists() and note.read_text()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "bnlint: interrupted\n")
    lines = [json.loads(line)["target"] for line in out.splitlines()]
    assert lines == ["models/cut.pt", "models/fresh.pt", "models/inner/good.pt"], "what was done is written"
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_the_bar_counts_and_gives_way_to_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with progress.count_bar(3) as bar:
        bar.count("models/[red]a.pt")
        deadline = time.monotonic() + 20
        while "1 of 3" not in terminal.written and time.monotonic() < deadline:
            time.sleep(0.01)
        with bar.hidden():
            before = terminal.written
            time.sleep(0.3)
            assert terminal.written == before
        bar.count("models/b.pt")
    assert "1 of 3, models/[red]a.pt" in terminal.written
    assert "2 of 3, models/b.pt" in terminal.written
