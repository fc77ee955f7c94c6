"""Pickles written by hand that call something, each in another way; none of them is ever loaded."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator

from tests.artifacts.inert.hostile import raw
from tests.cli.hostile_contents import in_zip, legacy


def text(value: str) -> bytes:
    """The opcode for a text, of protocol 1."""
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def name(value: str) -> bytes:
    """The opcode for a class or function, of protocol 0."""
    module, _, own = value.rpartition(".")
    return f"c{module}\n{own}\n".encode()


def call(function: str, *arguments: str) -> bytes:
    """The opcodes for a call with texts."""
    return raw(name(function), b"(", *map(text, arguments), b"tR")


def got(owner: bytes, attribute: str) -> bytes:
    """The opcodes for `getattr`."""
    return raw(name("builtins.getattr"), owner, text(attribute), b"\x86R")


def block(value: bytes) -> bytes:
    """The opcode for bytes, of protocol 3."""
    return b"B" + len(value).to_bytes(4, "little") + value


SYSTEM = call("posix.system", "id")
_OS = call("builtins.__import__", "os")

# What is called, and the opcodes without the end.
CALLING: dict[str, tuple[str, bytes]] = {
    "REDUCE": ("posix.system", SYSTEM),
    "INST": ("posix.system", raw(b"(", text("id"), b"iposix\nsystem\n")),
    "OBJ": ("posix.system", raw(b"(", name("posix.system"), text("id"), b"o")),
    "NEWOBJ": ("posix.system", raw(name("posix.system"), text("id"), b"\x85\x81")),
    "NEWOBJ_EX": ("posix.system", raw(name("posix.system"), text("id"), b"\x85}\x92")),
    "STACK_GLOBAL": ("posix.system", raw(b"\x80\x04\x8c\x05posix\x8c\x06system\x93", text("id"), b"\x85R")),
    "dotted STACK_GLOBAL": (
        "torch.serialization.os.system",
        raw(b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93", text("id"), b"\x85R"),
    ),
    "protocol 0": ("posix.system", b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n"),
    "protocol 0 with INST": ("posix.system", b"(S'id'\niposix\nsystem\n"),
    "protocol 1": ("posix.system", raw(b"\x80\x01", SYSTEM)),
    "protocol 5": ("posix.system", raw(b"\x80\x05", SYSTEM)),
    "a name of Python 2": ("subprocess.getoutput", raw(b"\x80\x02", call("commands.getoutput", "id"))),
    "eval of Python 2": ("builtins.eval", call("__builtin__.eval", "1")),
    "a list": ("posix.system", raw(b"]", SYSTEM, b"a")),
    "a deep list": ("posix.system", raw(b"]" * 50, SYSTEM, b"a" * 50)),
    "a tuple": ("posix.system", raw(SYSTEM, b"\x85")),
    "a dict": ("posix.system", raw(b"}", text("a"), SYSTEM, b"s")),
    "the key of a dict": ("posix.system", raw(b"}", SYSTEM, text("a"), b"s")),
    "thrown away": ("posix.system", raw(SYSTEM, b"0N")),
    "put aside": ("posix.system", raw(SYSTEM, b"q\x000h\x00")),
    "in arguments": ("posix.system", raw(name("builtins.list"), SYSTEM, b"\x85R")),
    "in a state": ("posix.system", raw(name("builtins.object"), b")R", SYSTEM, b"b")),
    "getattr of a module": ("os.system", raw(got(_OS, "system"), text("id"), b"\x85R")),
    "getattr of getattr": ("os.path.os.system", raw(got(got(got(_OS, "path"), "os"), "system"), text("id"), b"\x85R")),
    "getattr of a function": (
        "numpy.load.os.system",
        raw(
            name("_operator.getitem"),
            got(name("numpy.load"), "__globals__"),
            text("os"),
            b"\x86R",
            b"q\x050",
            got(b"h\x05", "system"),
            text("id"),
            b"\x85R",
        ),
    ),
    "import_module": ("os.system", raw(got(call("importlib.import_module", "os"), "system"), text("id"), b"\x85R")),
    "resolve_name": ("os.system", raw(call("pkgutil.resolve_name", "os:system"), text("id"), b"\x85R")),
    "attrgetter": (
        "os.system",
        raw(call("operator.attrgetter", "system"), _OS, b"\x85R", text("id"), b"\x85R"),
    ),
    "methodcaller": ("os.system", raw(call("operator.methodcaller", "system", "id"), _OS, b"\x85R")),
    "partial": (
        "posix.system",
        raw(name("functools.partial"), name("posix.system"), text("id"), b"\x86R)R"),
    ),
    "partial with a state": (
        "posix.system",
        raw(name("functools.partial"), name("builtins.len"), b"\x85R(", name("posix.system"), b")}}tb)R"),
    ),
    "map": (
        "posix.system",
        raw(name("builtins.list"), name("builtins.map"), name("posix.system"), b"]", text("id"), b"a\x86R\x85R"),
    ),
    "reduce": ("posix.system", raw(name("functools.reduce"), name("posix.system"), b"]\x86R")),
    "a tensor of a strange kind": (
        "posix.system",
        raw(name("torch._tensor._rebuild_from_type_v2"), b"(", name("posix.system"), b"N)}tR"),
    ),
    "__setstate__": (
        "posix.system",
        raw(name("argparse.Namespace"), b")R}", text("__setstate__"), name("posix.system"), b"sb", text("id"), b"b"),
    ),
    "__setstate__ of a class": (
        "posix.system",
        raw(
            name("argparse.Namespace"), b"q\x00N}", text("__setstate__"), name("posix.system"), b"s\x86b0h\x00)R",
            text("id"), b"b",
        ),
    ),
    "append": (
        "posix.system",
        raw(name("argparse.Namespace"), b")R}", text("append"), name("posix.system"), b"sb", text("id"), b"a"),
    ),
    "a class made on the spot": (
        "posix.system",
        raw(name("builtins.type"), b"(", text("A"), b")}", text("__init__"), name("posix.system"), b"stR"),
    ),
    "nested": ("posix.system", raw(name("_pickle.loads"), block(SYSTEM + b"."), b"\x85R")),
    "nested as a storage": (
        "posix.system",
        raw(name("torch.storage._load_from_bytes"), block(SYSTEM + b"."), b"\x85R"),
    ),
    "nested as an archive": (
        "posix.system",
        raw(name("torch.storage._load_from_bytes"), block(in_zip(SYSTEM + b".")), b"\x85R"),
    ),
    "cProfile": ("cProfile.run", call("cProfile.run", "1")),
    "the network": ("urllib.request.urlopen", call("urllib.request.urlopen", "http://localhost")),
    "a file": ("pathlib.Path.write_text", call("pathlib.Path.write_text", "a")),
    "foreign": ("statistics.fmean", call("statistics.fmean", "a")),
}  # fmt: skip

DAMAGES = {
    "an unknown opcode": b"\xff.",
    "no end": b"",
    "a tuple of nothing": b"00000000\x87.",
    "a text cut short": b"X\xff\x00\x00\x00abc",
    "get of what was never put": b"h\x77.",
}
"""What may follow the call."""


def forms(pickled: bytes) -> Iterator[tuple[str, bytes]]:
    """A pickle in each form of file that `torch.load` or `pickle.load` read."""
    yield "plain", pickled
    yield "zip", in_zip(pickled)
    yield "legacy", legacy(pickled)
    yield "compressed", _zipped(pickled, zipfile.ZIP_DEFLATED)
    yield (
        "encrypted",
        in_zip(pickled).replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    )
    yield "before the version", b"".join([*_head(), pickled])
    yield "in place of the keys", b"".join([*_head(), pickle.dumps({}), pickle.dumps({}), pickled])


def _head() -> list[bytes]:
    return [pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001)]


def _zipped(pickled: bytes, method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
    return buffer.getvalue()
