"""Writes files of `torch.save` by hand, opcode by opcode: they can name and call what no pickler would let them."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks")


@dataclass
class Name:
    """The global `module.name`."""

    module: str
    name: str


@dataclass
class Call:
    """A call of a global, and the state that its result is given."""

    maker: Name
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass
class Storage:
    """A storage of this many float32 numbers; the file has one, with the key 0."""

    elements: int
    key: str


@dataclass
class Again:
    """A module that was written before: the innermost one that is still being written, or one further out."""

    levels: int = 1


def module(maker: Name, **state: Any) -> Call:
    """A module of a class with attributes; its tables are empty unless they are given."""
    return Call(maker, (), {"training": False, **{table: {} for table in TABLES}, **state})


def tensor(elements: int, size: tuple[int, ...], stride: tuple[int, ...], key: str = "0") -> Call:
    """A float32 parameter on a storage."""
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    data = Call(rebuild, (Storage(elements, key), 0, size, stride, False, Call(Name("collections", "OrderedDict"))))
    return Call(Name("torch._utils", "_rebuild_parameter"), (data, True, Call(Name("collections", "OrderedDict"))))


def write(path: Path, value: Any, storage: bytes = b"") -> Path:
    """Write a value as a file of `torch.save`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + _Writer().opcodes(value) + b".")
        archive.writestr("archive/version", "3\n")
        if storage:
            archive.writestr("archive/data/0", storage)
    return path


@dataclass
class _Writer:
    memo: int = 0
    open: list[int] = field(default_factory=list)

    def opcodes(self, value: Any) -> bytes:
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                text = value.encode("utf-8", "surrogatepass")
                return b"X" + struct.pack("<I", len(text)) + text
            case list():
                return b"](" + b"".join(map(self.opcodes, value)) + b"e"
            case tuple():
                return b"(" + b"".join(map(self.opcodes, value)) + b"t"
            case dict():
                return b"}(" + b"".join(self.opcodes(key) + self.opcodes(item) for key, item in value.items()) + b"u"
            case Name():
                return f"c{value.module}\n{value.name}\n".encode()
            case Storage():
                return self.opcodes(("storage", Name("torch", "FloatStorage"), value.key, "cpu", value.elements)) + b"Q"
            case Again():
                return b"j" + struct.pack("<I", self.open[-value.levels])
            case Call():
                return self._call(value)
        raise TypeError(value)

    def _call(self, value: Call) -> bytes:
        index = self.memo
        self.memo += 1
        made = self.opcodes(value.maker) + self.opcodes(value.arguments) + b"R" + b"r" + struct.pack("<I", index)
        if value.state is None:
            return made
        self.open.append(index)
        made += self.opcodes(value.state) + b"b"
        self.open.pop()
        return made
