"""What a file is, told by its content and never by its suffix; nothing in the file is run."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from typing import BinaryIO, Final

from bnlint.artifacts.inert.protobuf import BadMessageError, fields
from bnlint.artifacts.zip_directory import BadDirectoryError, LongDirectoryError, member_names
from bnlint.errors import AGAIN

HEAD_SIZE: Final = 4096
"""How many bytes, from the start of the file, are looked at."""


class Kind(enum.Enum):
    """The formats that bnlint reads, and everything else."""

    TORCH_ZIP = "torch.save, zip"
    TORCH_LEGACY = "torch.save before torch 1.6"
    PICKLE = "plain pickle"
    SAFETENSORS = "safetensors"
    PROGRAM = "torch.export"
    TORCHSCRIPT = "torch.jit"
    PACKAGE = "torch.package"
    INDEX = "index of shards"
    ONNX = "ONNX"
    UNREADABLE = "unreadable"


PICKLED: Final = frozenset({Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.PICKLE})
"""What `torch.load` and `pickle.load` read."""


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


_MODULE_INSTEAD: Final = (
    "Give the model that it was made from: an import string `package.module:name` with `--weights`."
)
_LEGACY_MAGIC: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_MAGIC_IN_DIGITS: Final = b"L119547037146038801333356L\n."
"""The same number in protocol 1."""
_PICKLE_WITHOUT_HEAD: Final = re.compile(rb"c[\w.]+\n[\w.]+\n(?:p\d|q\x00|\()|\(dp\d|\}q\x00")
"""Protocols 0 and 1 write no version: such a pickle begins with the name of a class, or with a dict."""
_PICKLED_NAME: Final = re.compile(r"[\w.]+ [\w.]+")
_NAMING: Final = frozenset({"GLOBAL", "INST", "STACK_GLOBAL"})
_CALLING: Final = frozenset({"NEWOBJ", "NEWOBJ_EX", "OBJ", "REDUCE"})
"""Opcodes that name a class or function, and those that call it; `INST` does both, after a `MARK`."""
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
_ONNX_PRODUCER: Final = 2
_ONNX_GRAPH: Final = 7
_ONNX_FIELDS: Final = {
    1: False, 2: True, 3: True, 4: True, 5: False, 6: True, 7: True, 8: True, 14: True, 20: True, 25: True, 26: True,
}  # fmt: skip
"""Fields of `onnx.ModelProto`, and whether each is a text or a message: 1 is the version of the format."""
_NEWEST_ONNX: Final = 100
_MOST_ONNX_FIELDS: Final = 1 << 16
"""Fields of a model itself: a few, one for each domain of operators, and one for each of its own functions."""


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
        return _unreadable("empty", AGAIN)
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return _unreadable("a Git LFS pointer, not the file itself", "To fetch the file, run `git lfs pull`.")
    # Before pickles and zips: the length of a safetensors header can begin with the first bytes of either.
    if head[4:9] == b"\0\0\0\0{":
        return _safetensors(head, size)
    if head.startswith(b"PK\x03\x04"):
        return _zip(file)
    versioned = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if versioned or head.startswith(_LEGACY_MAGIC_IN_DIGITS) or _PICKLE_WITHOUT_HEAD.match(head):
        return _pickle(head)
    return _onnx(file, head, size) or _odd_pickle(head) or _no_model(head, size)


def is_index(head: bytes) -> bool:
    """Whether a file that begins with these bytes may be an index of shards: an object of JSON with a map of weights.

    Args:
        head: Its first bytes.
    """
    text = head.lstrip()
    return text.startswith(b"{") and (b'"weight_map"' in text or (b'"metadata"' in text and b'"total_size"' in text))


def inner_name(member: str) -> str:
    """The name of a zip member without the archive's own top folder, which `torch.save` names after the file."""
    return member.partition("/")[2] or member


def _unreadable(words: str, hint: str = "") -> Content:
    return Content(Kind.UNREADABLE, words, hint)


def _safetensors(head: bytes, size: int) -> Content:
    header = int.from_bytes(head[:8], "little")
    if header > size - 8:
        words = f"a safetensors file cut short: its header takes {header} bytes and only {size - 8} follow"
        return _unreadable(words, AGAIN)
    return Content(Kind.SAFETENSORS, "a safetensors file")


def _zip(file: BinaryIO) -> Content:
    try:
        names, begins_the_file = member_names(file)
    except LongDirectoryError:
        return _unreadable("a zip archive whose list of contents is longer than that of any model")
    except BadDirectoryError:
        return _unreadable("cut short or damaged: a zip archive whose list of contents is missing", AGAIN)
    if names and not begins_the_file:
        # Of a `.pt2` that was cut, the archive of example inputs in it may be all that is left whole.
        return _unreadable("cut short or damaged: a zip archive whose list of contents is of another archive", AGAIN)
    inner = {inner_name(name) for name in names}
    # A TorchScript archive has a data.pkl as well.
    if "constants.pkl" in inner:
        return Content(Kind.TORCHSCRIPT, "a file of torch.jit.save")
    if "model.json" in inner:
        return _unreadable("a TorchScript archive from before torch 1.0, which bnlint does not read", _MODULE_INSTEAD)
    if ".data/extern_modules" in inner:
        return Content(Kind.PACKAGE, "a file of torch.package")
    if "archive_format" in inner or "serialized_exported_program.json" in inner:
        return _program(inner)
    if "data.pkl" in inner:
        return Content(Kind.TORCH_ZIP, "a file of torch.save")
    return _unreadable("a zip archive that torch.save did not write")


def _program(inner: set[str]) -> Content:
    compiled = any(name.startswith("data/aotinductor/") for name in inner)
    if compiled and not any(name.startswith("models/") for name in inner):
        words = "a package of AOTInductor, which is native code: nothing to read"
        return _unreadable(words, "Check the program that it was compiled from.")
    return Content(Kind.PROGRAM, "a file of torch.export")


def _pickle(head: bytes) -> Content:
    if _LEGACY_MAGIC in head[:32] or head.startswith(_LEGACY_MAGIC_IN_DIGITS):
        return Content(Kind.TORCH_LEGACY, "a file of torch.save")
    return Content(Kind.PICKLE, "a Python pickle that torch.save did not write")


def _odd_pickle(head: bytes) -> Content | None:
    """A pickle that begins as none that `pickle` writes, such as one written by hand: one that names something."""
    import pickletools  # hardly a file comes this far

    seen: set[str] = set()
    try:
        for opcode, argument, _ in pickletools.genops(head):
            if opcode.name in _NAMING and argument and _PICKLED_NAME.fullmatch(str(argument)) is None:
                return None
            seen.add(opcode.name)
            if opcode.name == "STOP":
                break
    except Exception as error:  # `pickletools` raises what it likes on what is no pickle
        called = {"INST", "MARK"} <= seen or not _CALLING.isdisjoint(seen)
        if not called and ("unknown" in str(error) or len(head) < HEAD_SIZE):
            return None
    names_something = not _NAMING.isdisjoint(seen)
    return Content(Kind.PICKLE, "a Python pickle that torch.save did not write") if names_something else None


def _onnx(file: BinaryIO, head: bytes, size: int) -> Content | None:
    """An ONNX file has no magic number: it begins with the version of its format, then who made it, or the graph."""
    if head[:1] != b"\x08":
        return None
    numbers: set[int] = set()
    try:
        for count, field in enumerate(fields(file, 0, size)):
            known = _ONNX_FIELDS.get(field.number)
            if known is None or known != field.is_bytes:
                return None
            if field.number == _ONNX_PRODUCER and not _is_name(head[field.content : field.end]):
                return None  # a SavedModel of TensorFlow, whose second field is a message
            numbers.add(field.number)
            if field.end > size:
                break
            if count > _MOST_ONNX_FIELDS:
                return None
            if field.number == 1 and not 0 < field.value < _NEWEST_ONNX:
                return None
        else:
            return Content(Kind.ONNX, "an ONNX file") if _ONNX_GRAPH in numbers else None
    except BadMessageError:
        pass
    if len(numbers) < 2:
        return None
    return _unreadable("an ONNX file cut short: a part of it reaches beyond its end", AGAIN)


def _is_name(text: bytes) -> bool:
    try:
        return len(text) < HEAD_SIZE // 4 and text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _no_model(head: bytes, size: int) -> Content:
    for magic, words in _OTHER_FORMATS:
        if head.startswith(magic):
            return _unreadable(f"{words}, not a model")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _unreadable("a WebP image, not a model")
    if head[257:262] == b"ustar":
        return _unreadable("a tar archive, not a model", "Unpack it and name the file in it.")
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return _unreadable("an HTML page, not a model", AGAIN)
    if is_index(head):
        return Content(Kind.INDEX, "an index of shards")
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
