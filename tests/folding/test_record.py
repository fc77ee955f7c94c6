"""The record beside a folded file is input like any other file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bnlint.errors import NotAnalysedError
from bnlint.folding.record import FOLD_SCHEMA, SUFFIX, read_record


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def holds(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


HEAD = f'{{"schema":"{FOLD_SCHEMA}","target":"x","model":"x","versions":{{}},"kept":[],'

WRONG: dict[str, Callable[[Path], object]] = {
    "3 GiB": sparse,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a circle": lambda path: path.symlink_to(path),
    "nested without end": holds("[" * 10**6),
    "nested where it is skipped": holds(f'{HEAD}"x":{"[" * 10**6}'),
    "a number of digits": holds(f'{HEAD}"folds":{"9" * 10_000}}}'),
    "a number beyond floats": holds(
        f'{HEAD}"folds":[{{"layer":"x","into":[],"through":[],"error":1e999}}]}}'
    ),
    "half a character": holds(f'{HEAD}"folds":[],"form":"\\ud800"}}'),
    "no text": lambda path: path.write_bytes(b"\xff\xfe"),
    "nothing": holds(""),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_record_is_a_sentence(kind: str, tmp_path: Path) -> None:
    WRONG[kind](tmp_path / f"folded.pt{SUFFIX}")
    with pytest.raises(NotAnalysedError) as caught:
        read_record(tmp_path / "folded.pt")
    assert f"`folded.pt{SUFFIX}`" in caught.value.cause
    assert str(tmp_path) not in caught.value.cause


def test_a_file_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "folded.pt") is None
