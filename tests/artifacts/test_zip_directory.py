"""The list of contents of a zip archive is what Python's own reader finds, and is bounded."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnlint.artifacts.zip_directory import (
    LARGEST_DIRECTORY,
    BadDirectoryError,
    LongDirectoryError,
    find_directory,
    member_names,
)
from bnlint.artifacts.zip_members import open_archive

NAMES = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20), unique=True
)


def archive(names: list[str], before: bytes = b"", comment: bytes = b"", *, large: bool = False) -> bytes:
    buffer = io.BytesIO(before)
    buffer.seek(len(before))
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.comment = comment
        for name in names:
            opened.writestr(name, b"x" * 5)
    if not large:
        return buffer.getvalue()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
        return archive(names, before, comment)


@given(
    NAMES,
    st.sampled_from([b"", b"before"]),
    st.sampled_from([b"", b"comment", bytes(3000)]),
    st.booleans(),
)
def test_the_names_are_those_that_python_finds(names: list[str], before: bytes, comment: bytes, large: bool) -> None:
    data = archive(names, before, comment, large=large)
    found, at_start = member_names(io.BytesIO(data))
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert found == opened.namelist() == names
        assert at_start == any(member.header_offset == 0 for member in opened.infolist())


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_archive_is_found_out_or_read_as_python_reads_it(place: int, byte: int) -> None:
    data = bytearray(archive(["archive/data.pkl", "archive/version", "archive/data/0"]))
    data[place % len(data)] = byte
    try:
        found = member_names(io.BytesIO(bytes(data)))[0]
    except BadDirectoryError:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(data))) as opened:
            assert len(opened.namelist()) == len(found)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return


@pytest.mark.parametrize("large", [False, True])
def test_a_list_of_any_length_is_refused_before_it_is_read(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive([f"data/{number}" for number in range(100)], large=large)
    size = find_directory(io.BytesIO(data)).size
    assert size < 100 * 80 < LARGEST_DIRECTORY
    monkeypatch.setattr("bnlint.artifacts.zip_directory.LARGEST_DIRECTORY", size - 1)
    for read in (find_directory, member_names, open_archive):
        with pytest.raises(LongDirectoryError, match="its list of contents is longer than that of any model"):
            read(io.BytesIO(data))
