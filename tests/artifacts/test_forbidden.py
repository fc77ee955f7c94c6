"""The audit hook of the tests sees every way to open a file for writing."""

from __future__ import annotations

import os

import pytest

from tests.artifacts.forbidden import writes


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDONLY | os.O_CREAT | os.O_EXCL, os.O_APPEND | 1]
)
def test_flags_that_make_or_change_a_file(flags: int) -> None:
    assert writes(("x", None, flags))


@pytest.mark.parametrize("mode", ["w", "a", "x", "r+b"])
def test_modes_that_make_or_change_a_file(mode: str) -> None:
    assert writes(("x", mode, 0))


def test_reading_is_no_writing() -> None:
    assert not writes(("x", "rb", os.O_RDONLY))
    assert not writes(("x", None, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)))
