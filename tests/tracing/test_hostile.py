"""Forwards that fail, hang, print, or change what they should not: each ends in a sentence and a fallback."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bnlint
from bnlint.report import Report
from bnlint.tracing.trace import How
from tests.tracing.proof import block, images
from tests.tracing.snapshot import snapshot

HERE = Path(__file__).name


class Hostile(nn.Module):
    """`first` is called before the hostile code, `rest` could be traced by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.first = nn.BatchNorm2d(3)
        self.rest = block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.conv(x))
        self.attack(x)
        return self.rest(x)

    def attack(self, x: Tensor) -> None:
        raise NotImplementedError


class Raises(Hostile):
    def attack(self, x: Tensor) -> None:
        raise KeyError("no such key")


class NeedsAGpu(Hostile):
    def attack(self, x: Tensor) -> None:
        if not torch.cuda.is_available():
            raise RuntimeError("this model needs a GPU")
        torch.cuda.synchronize()


class ReadsAFile(Hostile):
    def attack(self, x: Tensor) -> None:
        Path("no/such/file.txt").read_text()


class Exits(Hostile):
    def attack(self, x: Tensor) -> None:
        sys.exit(3)


class RaisesWithoutWords(Hostile):
    def attack(self, x: Tensor) -> None:
        raise AssertionError


class RaisesALongStory(Hostile):
    def attack(self, x: Tensor) -> None:
        raise ValueError("\n".join(["a long story"] * 100))


class LoopsInPython(Hostile):
    def attack(self, x: Tensor) -> None:
        while True:
            pass


class LoopsInTorch(Hostile):
    def attack(self, x: Tensor) -> None:
        while True:
            x = x + 1


class LoopsAndSwallowsExceptions(Hostile):
    def attack(self, x: Tensor) -> None:
        while True:
            try:  # noqa: SIM105
                x = self.first(x).relu()
            except Exception:
                pass


class RecursesForEver(Hostile):
    def attack(self, x: Tensor) -> None:
        self.attack(x + 1)


FAILURES = [
    (Raises, "KeyError", "no such key"),
    (NeedsAGpu, "", ""),
    (ReadsAFile, "FileNotFoundError", "no/such/file.txt"),
    (Exits, "SystemExit", "3"),
    (RaisesWithoutWords, "AssertionError", HERE),
    (RaisesALongStory, "ValueError", "…"),
    (RecursesForEver, "RecursionError", HERE),
]


@pytest.mark.parametrize(("hostile", "error", "words"), FAILURES, ids=lambda value: getattr(value, "__name__", None))
def test_a_failure_is_a_reason_and_a_partial_graph(hostile: type[Hostile], error: str, words: str) -> None:
    if hostile is NeedsAGpu and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    trace = bnlint.trace(hostile().eval(), (images(),), timeout=10)
    assert trace.how is How.PARTIAL
    assert error in trace.reason
    assert words in trace.reason
    assert "2 of 2 normalisation layers were seen" in trace.reason
    assert "\n" not in trace.reason
    assert len(trace.reason) < 400
    assert [call.layer for call in trace.norm_calls] == ["first", "rest.1"]
    trace.graph.lint()


LOOPS = [LoopsInPython, LoopsInTorch, LoopsAndSwallowsExceptions]


@pytest.mark.parametrize("hostile", LOOPS)
def test_an_endless_loop_is_given_up(hostile: type[Hostile]) -> None:
    start = time.monotonic()
    trace = bnlint.trace(hostile().eval(), (images(),), timeout=1)
    assert time.monotonic() - start < 10
    assert "did not end" in trace.reason
    assert "--timeout" in trace.reason
    assert "rest.1" in [call.layer for call in trace.norm_calls]
    assert trace.how is How.PARTIAL


def test_time_runs_on_after_a_loop_was_given_up() -> None:
    bnlint.trace(LoopsInPython().eval(), (images(),), timeout=0.2)
    time.sleep(0.3)
    assert bnlint.trace(block().eval(), (images(),), timeout=5).how is How.RECORDED


class Talks(Hostile):
    """Prints, then fails, so that every fallback runs its code too."""

    def attack(self, x: Tensor) -> None:
        print("chatter", x.shape)  # noqa: T201
        sys.stdout.write("chatter")
        sys.stdout.flush()
        raise RuntimeError("enough")


@pytest.mark.parametrize("inputs", [(images(),), None], ids=["with-input", "without-input"])
def test_what_a_model_prints_never_reaches_standard_output(inputs: object, capsys: pytest.CaptureFixture[str]) -> None:
    bnlint.check(Talks().eval(), inputs=inputs)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "chatter" in captured.err


class ChangesItself(Hostile):
    def attack(self, x: Tensor) -> None:
        self.conv.weight.data.mul_(2)
        self.conv.bias.zero_()
        self.first.running_mean.add_(1)
        self.first.weight = nn.Parameter(torch.zeros(3))
        self.rest[1].eps = 7.0
        self.rest[0] = nn.Identity()
        self.new = nn.Linear(1, 1)
        self.kept = x
        self.conv.register_forward_hook(lambda module, args, output: output * 0)
        self.train()
        self.requires_grad_(False)
        del self.first


def test_a_model_that_changes_itself_changes_a_copy() -> None:
    model = ChangesItself().eval()
    before = snapshot(model)
    trace = bnlint.trace(model, (images(),))
    assert snapshot(model) == before
    assert trace.how is How.RECORDED
    assert [call.layer for call in trace.norm_calls] == ["first", "rest.1"]


class ChangesTheFolder(Hostile):
    def attack(self, x: Tensor) -> None:
        Path("written-by-the-model").write_text("data")


def test_a_file_that_the_model_writes_is_its_own_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bnlint.trace(ChangesTheFolder().eval(), (images(),)).how is How.RECORDED
    assert [path.name for path in tmp_path.iterdir()] == ["written-by-the-model"]


@pytest.mark.parametrize("hostile", [Raises, Exits, Talks, ChangesItself, RaisesWithoutWords])
@pytest.mark.parametrize("inputs", [(images(),), None], ids=["with-input", "without-input"])
def test_a_check_ends_in_a_report(hostile: type[Hostile], inputs: object) -> None:
    report = bnlint.check(hostile(), inputs=inputs, timeout=10)
    assert isinstance(report, Report)
    assert "BN101" in [finding.code for finding in report.findings]


def test_a_loop_of_torch_calls_ends_outside_the_main_thread() -> None:
    reasons = []
    thread = threading.Thread(
        target=lambda: reasons.append(bnlint.trace(LoopsInTorch().eval(), (images(),), timeout=0.5).reason),
        daemon=True,
    )
    thread.start()
    thread.join(30)
    assert len(reasons) == 1
    assert "--timeout" in reasons[0]
