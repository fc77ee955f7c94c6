"""Files take their places in one step each, and none that is there is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bnlint.errors import NotAnalysedError, UsageError
from bnlint.folding.place import put, staged
from bnlint.folding.record import beside


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["hard links", "no hard links"], autouse=True)
def _links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", no_links)


def fold(output: Path, *, replace: bool = False, meanwhile: Callable[[], object] = lambda: None) -> None:
    with staged(output) as files:
        files.model.write_text("model")
        files.record.write_text("record")
        meanwhile()
        put(files, output, replace=replace)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


FOLDED = {"out.pt": "model", "out.pt.bnlint.json": "record"}


@pytest.mark.parametrize("replace", [False, True])
def test_a_new_output(tmp_path: Path, replace: bool) -> None:
    fold(tmp_path / "out.pt", replace=replace)
    assert contents(tmp_path) == FOLDED
    assert (tmp_path / "out.pt").stat().st_nlink == 1


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("kind", ["file", "link to nothing", "folder"])
def test_what_appears_meanwhile_stays_and_nothing_is_added(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    make: dict[str, Callable[[], object]] = {
        "file": lambda: place.write_text("made"),
        "link to nothing": lambda: place.symlink_to("nowhere"),
        "folder": place.mkdir,
    }
    with pytest.raises((UsageError, NotAnalysedError)) as raised:
        fold(tmp_path / "out.pt", meanwhile=make[kind])
    if kind == "file":
        assert "was written by another program meanwhile" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert contents(tmp_path) == ({name: "made"} if kind == "file" else {})


def test_what_appears_meanwhile_is_replaced_where_it_may_be(tmp_path: Path) -> None:
    fold(tmp_path / "out.pt", replace=True, meanwhile=lambda: (tmp_path / "out.pt").write_text("made"))
    assert contents(tmp_path) == FOLDED


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.pt"
    link.symlink_to("real/out.pt")
    fold(link)
    assert link.is_symlink()
    assert contents(tmp_path / "real") == FOLDED
    with pytest.raises(UsageError):
        fold(link)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failure_at_either_file_leaves_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    from bnlint.folding import place

    claim, calls = place._claim, []

    def fails(file: Path, at: Path) -> None:
        calls.append(at)
        if len(calls) == failing + 1:
            raise error
        claim(file, at)

    monkeypatch.setattr(place, "_claim", fails)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else NotAnalysedError):
        fold(tmp_path / "out.pt")
    assert calls[0] == beside(tmp_path / "out.pt"), "the record first"
    assert contents(tmp_path) == {}


def test_a_place_where_nothing_can_be_is_one_sentence_before_the_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for name in ("one", "absent/out.pt"):
        with pytest.raises(NotAnalysedError, match="cannot be written"):
            fold(tmp_path / name)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotAnalysedError, match="cannot be written: its folder cannot be written to"):
        fold(tmp_path / "out.pt")
    assert contents(tmp_path) == {}
