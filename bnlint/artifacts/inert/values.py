"""What a pickle describes, as plain values and stubs: no class of the file is ever imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple


class Global(NamedTuple):
    """A class or function that a pickle names.

    Attributes:
        module: Such as `torch.nn.modules.batchnorm`; Python 2 names are kept as they stand in the file.
        name: Such as `BatchNorm2d`; dotted for a nested class.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Stub:
    """What a pickle would make by calling something, and what it would then do to the result.

    Attributes:
        maker: What would have been called: a `Global`, or any other value in a hostile file.
        arguments: The positional arguments.
        keywords: The keyword arguments; empty but for `NEWOBJ_EX`.
        states: What `__setstate__` or `__dict__` would have been given, in order.
        items: What would have been appended or added.
        entries: Pairs that would have been set with `result[key] = value`.
        storage: What `as_storage` has read it as: thousands of tensors can refer to one.
    """

    maker: Any
    arguments: Any = ()
    keywords: Any = None
    states: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    entries: list[tuple[Any, Any]] = field(default_factory=list)
    storage: Any = None


@dataclass(frozen=True, eq=False, slots=True)
class Persistent:
    """What a pickle refers to by a persistent id: in files of `torch.save`, a storage.

    Attributes:
        id: The id, such as `("storage", Global, key, location, number of elements)`.
    """

    id: Any


def named(value: Any, *names: str) -> bool:
    """Whether a value is one of the globals with these dotted names."""
    return isinstance(value, Global) and str(value) in names


def made_by(value: Any, *names: str) -> bool:
    """Whether a value is a stub of a call to one of the globals with these dotted names."""
    return isinstance(value, Stub) and named(value.maker, *names)


_LOADS_STORAGE: Final = Global("torch.storage", "_load_from_bytes")
_UNPICKLING: Final = frozenset({
    _LOADS_STORAGE, Global("_pickle", "loads"), Global("pickle", "loads"), Global("pickle", "_loads"),
    Global("cPickle", "loads"), Global("cloudpickle", "loads"), Global("dill", "loads"), Global("dill._dill", "loads"),
})  # fmt: skip


def inline_storage(maker: Any, arguments: Any) -> bytes | None:
    """The bytes of a storage that `pickle.dump` of a tensor leaves in the pickle; `None` for any other call."""
    return inline_pickle(maker, arguments) if maker == _LOADS_STORAGE else None


def inline_pickle(maker: Any, arguments: Any) -> bytes | None:
    """The bytes that a call would unpickle in its turn; `None` for any other call."""
    if not isinstance(maker, Global) or maker not in _UNPICKLING or not isinstance(arguments, tuple) or not arguments:
        return None
    found = arguments[0]
    if made_by(found, "_codecs.encode") and isinstance(found.arguments, tuple) and found.arguments[1:] == ("latin1",):
        found = found.arguments[0]  # protocols 0 to 2 have no bytes and write them as text
        try:
            return found.encode("latin-1") if isinstance(found, str) else None
        except UnicodeEncodeError:
            return None
    return bytes(found) if isinstance(found, (bytes, bytearray)) else None


def mapping(value: Any) -> dict[Any, Any] | None:
    """The entries of a dict, an `OrderedDict` or a `defaultdict`; `None` for anything else.

    Keys that are not plain scalars are left out: hashing what a file nests without end could exhaust the stack.
    """
    if isinstance(value, dict):
        return value
    if not made_by(value, "collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"):
        return None
    found: dict[Any, Any] = {}
    arguments = value.arguments if isinstance(value.arguments, tuple) else ()
    first = arguments[-1] if arguments else None
    pairs = list(first) if isinstance(first, list) else list(first.items()) if isinstance(first, dict) else []
    for pair in [*pairs, *value.entries]:  # Python 2 pickled an OrderedDict as a list of two-element lists
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and is_key(pair[0]):
            found[pair[0]] = pair[1]
    return found


def is_scalar(value: Any) -> bool:
    """Whether a value holds no others."""
    return value is None or isinstance(value, (str, bytes, bool, int, float, Global))


def is_key(value: Any) -> bool:
    """Whether a value may be a key: hashing it costs its length at most, and few others have the same hash.

    That of a text is secret to each process. That of an integer is its remainder, by which a file could choose a
    million large ones that all collide.
    """
    return is_scalar(value) and (not isinstance(value, int) or can_be_sent(value))


def can_be_sent(value: str | int) -> bool:
    """Whether MessagePack has a form for a text or a number: none for lone surrogates, nor beyond 64 bits."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    return -(1 << 63) <= value < 1 << 64


def extent(value: Any) -> int:
    """How many pairs `mapping` and `attributes` look at; the pairs themselves may be shared by any number of values."""
    if not isinstance(value, Stub):
        return len(value) if isinstance(value, dict) else 0
    arguments = value.arguments if isinstance(value.arguments, tuple) else ()
    found = len(value.entries) + (len(arguments[-1]) if arguments and isinstance(arguments[-1], (list, dict)) else 0)
    parts = [part for state in value.states for part in (state if isinstance(state, tuple) else (state,))]
    return found + sum(len(part) if isinstance(part, dict) else 1 for part in parts)


def attributes(value: Any) -> dict[str, Any]:
    """The attributes that a stub would have had, from the states that it was built with."""
    found: dict[str, Any] = {}
    if not isinstance(value, Stub):
        return found
    for state in value.states:
        # `copyreg` pairs the `__dict__` of an object with the values of its slots.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        for part in parts:
            found |= {key: item for key, item in (mapping(part) or {}).items() if isinstance(key, str)}
    return found
