"""Contents of files that want to run something, or to use up the machine."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call: tuple[Any, ...] = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def commands(canary: Path) -> dict[str, Any]:
    write = f"open({str(canary)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {canary}"),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "importlib": Calls(__import__("importlib").import_module, "antigravity"),
        "torch.load": Calls(torch.load, str(canary)),
        "open": Calls(open, str(canary), "w"),
        "subprocess": Calls(subprocess.check_call, ["touch", str(canary)]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "nested": Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {canary}"))),
        "dict with a call as key and value": {"weights": [{"deep": (Calls(os.system, f"touch {canary}"),)}]},
    }


def raw(*parts: bytes) -> bytes:
    return b"".join(parts)


HOSTILE = {
    "memo index of 2^26": raw(b"N", b"r", struct.pack("<I", 2**26), b"."),
    "memo index of 2^26 as text": b"Np67108864\n.",
    "memo index of 2^32": raw(b"N", b"r", struct.pack("<I", 2**32 - 1), b"."),
    "bytes of 10 GB that are not there": raw(b"\x8e", struct.pack("<Q", 10**10), b"."),
    "text of 2^63 bytes": raw(b"\x8d", struct.pack("<Q", 2**63), b"."),
    "bytearray(10**10)": raw(b"cbuiltins\nbytearray\n", b"\x8a\x05", (10**10).to_bytes(5, "little"), b"\x85R."),
    "a name with dots": raw(b"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93)R."),
    "a name that is no text": raw(b"\x80\x04K\x01K\x02\x93."),
    "an attribute set on a function": raw(b"ctorch._utils\n_rebuild_tensor_v2\n", b"}X\x04\x00\x00\x00evilK\x01sb."),
    "OrderedDict.items shadowed": raw(b"ccollections\nOrderedDict\n)R", b"}X\x05\x00\x00\x00itemscos\nsystem\nsb."),
    "codecs": raw(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x74R."),
    "a value from an empty stack": b"0.",
    "no end": b"(((((",
    "tuple of nothing": b"\x87.",
    "dict without a value": raw(b"(K\x01d."),
    "nested a million deep": raw(b"]" * 1_000_000, b"a" * 999_999, b"."),
    "tuples a million deep as a key": raw(b"}", b")" + b"\x85" * 1_000_000, b"K\x01s."),
    "doubled sixty times": raw(b"]", b"2\x86" * 60, b"."),
    "a number of a million digits": raw(b"L", b"9" * 1_000_000, b"L\n."),
    "extension code": b"\x82\x01.",
    "a buffer outside the file": b"\x97.",
    "persistent id of nonsense": raw(b"K\x01Q."),
    "persistent id that is a call": raw(b"cos\nsystem\n", b"X\x02\x00\x00\x00id\x85RQ."),
    "persistent id of a module that is a call": raw(b"(X\x06\x00\x00\x00module", b"cos\nsystem\n)RNNtQ."),
    "persistent id of a storage without a type": raw(b"(X\x07\x00\x00\x00storageNNNNtQ."),
    "persistent id that holds itself": raw(b"]q\x00h\x00ah\x00Q."),
    "persistent id as text": b"Pevil\n.",
    "__setstate__ shadowed": raw(
        b"ctorch.nn.modules.linear\nLinear\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb}b."
    ),
    "a state that is a call": raw(b"ctorch.nn.modules.linear\nLinear\n)\x81cos\nsystem\nX\x02\x00\x00\x00id\x85Rb."),
    "a state that is itself": raw(b"ctorch.nn.modules.linear\nLinear\n)\x81q\x00h\x00b."),
    "a name that acts on the terminal": raw(b"c\x1b]0;owned\x07\n\x1b[2J\n)R."),
    "get of what was never put": b"h\x07.",
}


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def shared_attributes() -> bytes:
    """A pickle of 165 kB: 1900 modules that share 900 attributes, each a row of 64, so a hundred million values."""
    row = (None,) * 64
    shared = {f"a{number}": row for number in range(900)}

    def module(children: dict[str, Calls]) -> Calls:
        made = Calls(torch.nn.Module)
        own = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": children}
        made.call = (*made.call, (shared, own))
        return made

    return pickle.dumps(module({f"m{number}": module({}) for number in range(1900)}), 2)


def rezipped(
    content: bytes, change: Callable[[str, bytes], tuple[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(*change(name, old.read(name)))
    return buffer.getvalue()


def rebuilt(offset: int, size: tuple[int, ...], stride: tuple[int, ...], elements: int = 8) -> bytes:
    """A state_dict whose one tensor is described with these numbers."""
    good = saved(OrderedDict(weight=torch.randn(8)))

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if not name.endswith("data.pkl"):
            return name, data
        out = io.BytesIO()
        pickler = pickle._Pickler(out, 2)  # type: ignore[attr-defined]
        pickler.persistent_id = lambda item: item.key if isinstance(item, StorageKey) else None
        arguments = (StorageKey(elements), offset, size, stride, False, OrderedDict())
        pickler.dump({"weight": Calls(torch._utils._rebuild_tensor_v2, *arguments)})
        return name, out.getvalue()

    return rezipped(good, change)


class StorageKey:
    def __init__(self, elements: int) -> None:
        self.key = ("storage", torch.FloatStorage, "0", "cpu", elements)
