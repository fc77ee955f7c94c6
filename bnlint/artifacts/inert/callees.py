"""What a call in a pickle calls in the end: by way of `getattr`, of `functools.partial`, of `map` and their like."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bnlint.artifacts.inert.values import Global, Stub

_LONGEST_CHAIN: Final = 32
"""Steps such as `getattr` of `getattr`; code that computes names needs a few."""

_MOST_ARGUMENTS: Final = 64
"""Arguments of a call that are looked at."""

_GETATTR: Final = frozenset({"builtins.getattr", "__builtin__.getattr"})
_ITEM: Final = frozenset({
    "_operator.getitem", "operator.getitem", "builtins.dict.get", "builtins.dict.__getitem__", "builtins.vars",
    "__builtin__.vars",
})  # fmt: skip
_IMPORT: Final = frozenset({
    "importlib.import_module", "importlib.__import__", "importlib._bootstrap._gcd_import", "builtins.__import__",
    "__builtin__.__import__", "pkgutil.resolve_name", "pydoc.locate", "cloudpickle.cloudpickle.subimport",
    "dill._dill._import_module",
})  # fmt: skip
_GETTERS: Final = frozenset({
    "operator.attrgetter", "_operator.attrgetter", "operator.itemgetter", "_operator.itemgetter",
    "operator.methodcaller", "_operator.methodcaller",
})  # fmt: skip
"""What they return takes an object, and looks up, or calls, what they were given the name of."""

_TABLES: Final = frozenset({"__dict__", "__globals__"})
"""Attributes that hold what a module has under its name."""

CALLERS: Final = frozenset(
    Global(*name.rsplit(".", 1))
    for name in (
        "builtins.map", "builtins.filter", "builtins.iter", "builtins.type", "builtins.sorted", "builtins.max",
        "builtins.min", "builtins.apply", "builtins.__build_class__", "__builtin__.map", "__builtin__.filter",
        "__builtin__.reduce", "__builtin__.apply", "__builtin__.type", "_functools.reduce", "functools.reduce",
        "functools.singledispatch", "itertools.accumulate", "itertools.dropwhile", "itertools.filterfalse",
        "itertools.groupby", "itertools.imap", "itertools.starmap", "itertools.takewhile", "_operator.call",
        "operator.call", "_thread.start_new_thread", "threading.Thread", "threading.Timer", "atexit.register",
        "signal.signal", "torch._tensor._rebuild_from_type", "torch._tensor._rebuild_from_type_v2",
        "copyreg.__newobj__", "copyreg.__newobj_ex__", "types.FunctionType",
    )
)  # fmt: skip
"""Functions that call one of their arguments, at once or when what they return is used."""


def is_bound_method(maker: Any, arguments: Any) -> bool:
    """Whether a call does no more than to pickle a method of an object in the file, as that of a compiled model.

    Args:
        maker: What is called.
        arguments: Its arguments.
    """
    if not isinstance(maker, Global) or str(maker) not in _GETATTR:
        return False
    if not isinstance(arguments, tuple) or len(arguments) != 2:
        return False
    owner, name = arguments
    is_object = isinstance(owner, Stub) and isinstance(owner.maker, Global) and str(owner.maker) not in _GETATTR
    return is_object and isinstance(name, str) and name.isidentifier() and not name.startswith("__")


def callee(maker: Any) -> Global | None:
    """What a call of a value that is no name calls, by its true dotted name; `None` where that cannot be known.

    Args:
        maker: The value, such as the stub of `getattr(os, "system")`.
    """
    is_partial = isinstance(maker, Stub) and _maker(maker) == "functools.partial"
    found = _target(maker) if is_partial else _dotted(maker)
    module, _, name = (found or "").rpartition(".")
    return Global(module, name) if module else None


def called_arguments(maker: Any, arguments: Any) -> Iterator[Global]:
    """The functions that a call hands to one that calls them.

    Args:
        maker: What is called.
        arguments: The positional arguments, and a mapping or a row of others among them.
    """
    if isinstance(maker, Stub) and _maker(maker).endswith(".methodcaller"):
        found = callee(Stub(Global("builtins", "getattr"), (*_row(arguments)[:1], *_row(maker.arguments)[:1])))
        if found is not None:
            yield found
    if not isinstance(maker, Global) or maker not in CALLERS:
        return
    first_only = maker.module in ("torch._tensor", "copyreg")
    for argument in _row(arguments)[: 1 if first_only else _MOST_ARGUMENTS]:
        inner = (
            argument.values() if isinstance(argument, dict) else argument if isinstance(argument, (list, tuple)) else ()
        )
        for value in (argument, *list(inner)[:_MOST_ARGUMENTS]):
            found = value if isinstance(value, Global) else callee(value)
            if found is not None:
                yield found


def true_names(names: Iterable[Global]) -> tuple[str, ...]:
    """The dotted names of classes and functions; of those that Python 2 wrote, what `pickle` takes them for.

    Args:
        names: As they stand in the file.
    """
    return tuple(dict.fromkeys(map(_true_name, names)))


def _true_name(name: Global) -> str:
    module, own = NAME_MAPPING.get((name.module, name.name), (IMPORT_MAPPING.get(name.module, name.module), name.name))
    return f"{module}.{own}"


def _target(partial: Stub) -> str | None:
    """What a `functools.partial` calls: its first argument, or what its state says."""
    state = partial.states[-1] if partial.states else None
    given = _row(state) or _row(partial.arguments)
    return _dotted(given[0]) if given else None


def _dotted(value: Any) -> str | None:
    """The dotted name of what a value is, as far as the pickle says it."""
    names: list[str] = []
    for _ in range(_LONGEST_CHAIN):
        if isinstance(value, Global):
            return ".".join([str(value), *reversed(names)])
        if not isinstance(value, Stub):
            return None
        maker, arguments = _maker(value), _row(value.arguments)
        if isinstance(value.maker, Stub) and maker in _GETTERS:
            arguments = (*arguments[:1], *_row(value.maker.arguments)[:1])
        elif maker in _IMPORT:
            module = arguments[0] if arguments else None
            return ".".join([module.replace(":", "."), *reversed(names)]) if isinstance(module, str) else None
        elif maker not in _GETATTR | _ITEM or not arguments:
            return None
        if len(arguments) > 1 and isinstance(arguments[1], str):
            names += [] if arguments[1] in _TABLES else [arguments[1]]
        value = arguments[0]
    return None


def _maker(value: Stub) -> str:
    """The name of what made a stub, or of what made that."""
    maker = value.maker.maker if isinstance(value.maker, Stub) else value.maker
    return str(maker) if isinstance(maker, Global) else ""


def _row(value: Any) -> tuple[Any, ...]:
    return tuple(value[:_MOST_ARGUMENTS]) if isinstance(value, (tuple, list)) else ()
