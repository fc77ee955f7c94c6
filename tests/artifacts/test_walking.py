"""Folders are walked through as by `os.walk`; of any depth: tests/cli/test_strange_files.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bnlint.artifacts.walking import walk


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/b/c", "a/d", "e"):
        Path(name).mkdir(parents=True)
    for name in ("a/1", "a/b/2", "a/b/c/3", "4"):
        Path(name).touch()
    Path("a/up").symlink_to("..", target_is_directory=True)
    Path("a/circle").symlink_to("circle")
    Path("a/nothing").symlink_to("nowhere")


def in_order(found: Iterator[tuple[str, list[str], list[str]]]) -> list[tuple[str, list[str], list[str]]]:
    return [(top, sorted(folders), sorted(files)) for top, folders, files in found]


def test_it_is_the_walk_of_python_in_the_order_of_names() -> None:
    assert sorted(in_order(walk("."))) == sorted(in_order(os.walk(".")))
    assert [top for top, _, _ in walk(".")] == [".", "./a", "./a/b", "./a/b/c", "./a/d", "./e"]


def test_the_caller_says_which_folders_are_walked_through() -> None:
    tops = []
    for top, folders, _ in walk("."):
        tops.append(top)
        folders[:] = [name for name in folders if name != "b"]
    assert tops == [".", "./a", "./a/d", "./e"]


def test_what_cannot_be_read_is_told_and_costs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, failed = os.scandir, []

    def failing(folder: str) -> object:
        if folder == "./a/b":
            raise OSError(5, "Input/output error")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", failing)
    assert [top for top, _, _ in walk(".", failed.append)] == [".", "./a", "./a/d", "./e"]
    assert failed == ["./a/b"]
    for name in ("nul\0byte", "absent", "4"):
        assert list(walk(name, failed.append)) == []
    assert failed[1:] == ["nul\0byte", "absent", "4"]
