"""What a file is, told by its content and never by its suffix; nothing in the file is run."""

from __future__ import annotations

import enum
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final

HEAD_SIZE: Final = 4096
"""How many bytes, from the start of the file, are looked at."""


class Kind(enum.Enum):
    """The formats that bnlint reads, and everything else."""

    TORCH_ZIP = "torch.save, zip"
    TORCH_LEGACY = "torch.save before torch 1.6"
    PICKLE = "plain pickle"
    SAFETENSORS = "safetensors"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        kind: The format.
        words: The rest of the sentence "`FILE` is …", without the full stop.
        hint: What the user can do, for a file that bnlint does not read.
    """

    kind: Kind
    words: str
    hint: str = ""


_AGAIN: Final = "Download or copy it again."
_MODULE_INSTEAD: Final = (
    "Give the model that it was made from: an import string `package.module:name` with `--weights`."
)
_LEGACY_MAGIC: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_OTHER_FORMATS: Final = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"\x7fELF", "a compiled program"),
)
BAD_ZIP: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    OSError,
    ValueError,
    OverflowError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
)
"""What `zipfile` raises on a damaged archive."""


def sniff(file: BinaryIO) -> Content:
    """Tell what a file is.

    Args:
        file: A seekable file, open for reading; its position changes.

    Returns:
        The content; any bytes whatever get an answer.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_SIZE)
    if size == 0:
        return _unreadable("empty", _AGAIN)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return _unreadable("a Git LFS pointer, not the file itself", "To fetch the file, run `git lfs pull`.")
    # Before pickles and zips: the length of a safetensors header can begin with the first bytes of either.
    if head[4:9] == b"\0\0\0\0{":
        return _safetensors(head, size)
    if head.startswith(b"PK\x03\x04"):
        return _zip(file)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _pickle(head)
    return _no_model(head, size)


def inner_name(member: str) -> str:
    """The name of a zip member without the archive's own top folder, which `torch.save` names after the file."""
    return member.partition("/")[2] or member


def _unreadable(words: str, hint: str = "") -> Content:
    return Content(Kind.UNREADABLE, words, hint)


def _safetensors(head: bytes, size: int) -> Content:
    header = int.from_bytes(head[:8], "little")
    if header > size - 8:
        words = f"a safetensors file cut short: its header takes {header} bytes and only {size - 8} follow"
        return _unreadable(words, _AGAIN)
    return Content(Kind.SAFETENSORS, "a safetensors file")


def _zip(file: BinaryIO) -> Content:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except BAD_ZIP:
        return _unreadable("cut short or damaged: a zip archive whose list of contents is missing", _AGAIN)
    inner = {inner_name(name) for name in names}
    # A TorchScript archive has a data.pkl as well.
    if "constants.pkl" in inner or "model.json" in inner:
        return _unreadable("a TorchScript archive, which bnlint does not read", _MODULE_INSTEAD)
    if "archive_format" in inner or "serialized_exported_program.json" in inner:
        return _unreadable("a torch.export program (`.pt2`), which bnlint does not read", _MODULE_INSTEAD)
    if "data.pkl" in inner:
        return Content(Kind.TORCH_ZIP, "a file of torch.save")
    return _unreadable("a zip archive that torch.save did not write")


def _pickle(head: bytes) -> Content:
    if _LEGACY_MAGIC in head[:32]:
        return Content(Kind.TORCH_LEGACY, "a file of torch.save")
    return Content(Kind.PICKLE, "a Python pickle that torch.save did not write")


def _no_model(head: bytes, size: int) -> Content:
    for magic, words in _OTHER_FORMATS:
        if head.startswith(magic):
            return _unreadable(f"{words}, not a model")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _unreadable("a WebP image, not a model")
    if head[257:262] == b"ustar":
        return _unreadable("a tar archive, not a model", "Unpack it and name the file in it.")
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return _unreadable("an HTML page, not a model", _AGAIN)
    if _is_text(head):
        return _unreadable(
            "text, not a model", "A model in Python code is named by an import string `package.module:name`."
        )
    if head[8:9] == b"{":
        return _safetensors(head, size)
    return _unreadable("of a format that bnlint does not know")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The end of the head can cut a character in two.
        if error.start < HEAD_SIZE - 3:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(character.isprintable() or character.isspace() for character in text)
