"""A pickle machine that builds stubs: it knows the opcodes of protocols 0 to 5 and calls nothing."""

from __future__ import annotations

import pickletools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Final

from bnlint.artifacts.inert.callees import CALLERS, called_arguments, callee, is_bound_method
from bnlint.artifacts.inert.values import Global, Persistent, Stub, attributes, inline_pickle, is_key

LARGEST_PICKLE: Final = 1 << 28
"""Bytes of opcodes that are read. A checkpoint of 100,000 tensors takes about 30 MB; weights are not among them."""

MOST_OPCODES: Final = 5_000_000
"""Opcodes that are read: a checkpoint takes about 25 for each of its tensors."""


class BadPickleError(ValueError):
    """A pickle that is cut short, damaged or beyond the limits."""


@dataclass
class Names:
    """What the pickles of a file name, as far as they were read; it is known of a damaged file too.

    Attributes:
        named: Every class or function that they name, in the order of their first mention.
        called: What loading them would call.
        inline: Pickles that stand in them as bytes, and that loading them would unpickle; of storages, files of
            `torch.save`.
    """

    named: dict[Global, None] = field(default_factory=dict)
    called: dict[Global, None] = field(default_factory=dict)
    inline: list[bytes] = field(default_factory=list)


@dataclass
class Pickled(Names):
    """What one pickle holds.

    Attributes:
        value: The value, of plain containers, scalars and stubs.
        persistent: What it refers to by persistent ids, in the order of the references.
    """

    value: Any = None
    persistent: list[Persistent] = field(default_factory=list)


def read_pickle(stream: IO[bytes], seen: Names | None = None) -> Pickled:
    """Read one pickle as data, up to its end; the stream is left behind it.

    Args:
        stream: The pickle; bytes beyond `LARGEST_PICKLE` are not read.
        seen: Gets the names, with those of other pickles; by default the result has its own alone.

    Returns:
        Its value and the names in it.

    Raises:
        BadPickleError: The pickle is cut short or damaged, or beyond the limits.
    """
    return _Machine(stream, seen or Names()).run()


class _Mark:
    """Stands on the stack where a group of values begins."""


_MARK: Final = _Mark()


class _Machine:
    def __init__(self, stream: IO[bytes], seen: Names) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}  # a table, since an index of 2^26 would make a list a gigabyte long
        self._packaged: dict[Any, Stub] = {}
        self._set_on_classes: dict[Global, Stub] = {}
        self._tuples: dict[int, Counter[int]] = {}  # the hashes of those that are keys, by the `id` of their dict
        self._inline_bytes = 0
        self._result = Pickled(seen.named, seen.called, seen.inline)

    def run(self) -> Pickled:
        start = self._stream.tell()
        try:
            for count, (opcode, argument, position) in enumerate(pickletools.genops(self._stream)):
                if count > MOST_OPCODES or (position or 0) - start > LARGEST_PICKLE:
                    raise BadPickleError("it is longer than any model needs")
                self._step(opcode.name, argument)
        except BadPickleError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError, MemoryError) as error:
            # `pickletools` and a stack that does not fit the opcodes raise all of these on damaged bytes.
            raise BadPickleError(str(error) or type(error).__name__) from error
        return self._result

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _IGNORED:
            return
        elif name == "STOP":
            self._result.value = self._stack.pop()
        else:
            _HANDLERS[name](self, argument)

    def _values(self) -> list[Any]:
        """The values above the last mark, taken off the stack with it."""
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise BadPickleError("a group of values has no beginning")

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise BadPickleError("a tuple takes more values than there are")
        values = tuple(self._stack[-size:])
        del self._stack[-size:]
        self._stack.append(values)

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadPickleError("a name is not a text")
        found = Global(module, name)
        self._result.named.setdefault(found)
        self._stack.append(found)

    def _call(self, maker: Any, arguments: Any, keywords: Any = None) -> None:
        found = maker if isinstance(maker, Global) else callee(maker)
        if found is not None and not is_bound_method(maker, arguments):
            self._result.called.setdefault(found)
            blob = inline_pickle(found, arguments)
            if blob is not None:
                self._inline_bytes += len(blob)
                if self._inline_bytes > LARGEST_PICKLE:  # one text can be given to a million calls
                    raise BadPickleError("its storages are longer than the pickle that they are in")
                self._result.inline.append(blob)
        if maker in CALLERS or not isinstance(maker, Global):
            self._result.called.update(dict.fromkeys(called_arguments(maker, arguments)))
        self._stack.append(Stub(maker, arguments, keywords))

    def _note_method(self, target: Any, *names: str) -> None:
        """Note the call of a method, if the pickle itself has put something in its place."""
        if not isinstance(target, Stub) or not (target.states or self._set_on_classes):
            return
        maker = target.maker if isinstance(target.maker, Global) else None
        for owner in (target, self._set_on_classes.get(maker) if maker else None):
            own = attributes(owner)
            for value in map(own.get, names):
                found = value if isinstance(value, Global) else callee(value)
                if found is not None:
                    self._result.called.setdefault(found)

    def _reduce(self, _: Any) -> None:
        arguments = self._stack.pop()
        self._call(self._stack.pop(), arguments)

    def _new_with_keywords(self, _: Any) -> None:
        keywords, arguments = self._stack.pop(), self._stack.pop()
        self._call(self._stack.pop(), arguments, keywords)

    def _instance(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        arguments = tuple(self._values())
        self._name(module, name)
        self._call(self._stack.pop(), arguments)

    def _object(self, _: Any) -> None:
        maker, *arguments = self._values()
        self._call(maker, tuple(arguments))

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        self._note_method(target, "__setstate__")
        built = target
        if isinstance(target, Global):
            built = self._set_on_classes.setdefault(target, Stub(target))
        if isinstance(built, Stub):
            if len(built.states) >= _MOST_STATES:
                raise BadPickleError("it builds an object more often than any program")
            built.states.append(state)

    def _is_key(self, value: Any, target: dict[Any, Any]) -> bool:
        """Whether a value may be a key of a dict: hashing what a file nests without end could exhaust the stack."""
        if not isinstance(value, tuple):
            return is_key(value) or isinstance(value, Stub)
        if len(value) > _LONGEST_KEY or not all(map(is_key, value)):
            return False
        alike = self._tuples.setdefault(id(target), Counter())
        alike[hash(value)] += 1
        if alike[hash(value)] > _MOST_ALIKE:
            raise BadPickleError("the keys of a dict are made to be slow")
        return True

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Stub):
            self._note_method(target, "append", "extend", "add")
            target.items.extend(values)

    def _set(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise BadPickleError("a dict has a key without a value")
        pairs = zip(values[::2], values[1::2], strict=True)
        target = self._stack[-1]
        if isinstance(target, dict):
            target.update((key, value) for key, value in pairs if self._is_key(key, target))
        elif isinstance(target, Stub):
            self._note_method(target, "__setitem__")
            target.entries.extend(pairs)

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._values()

    def _append_one(self, _: Any) -> None:
        self._append([self._stack.pop()])

    def _append_all(self, _: Any) -> None:
        self._append(self._values())

    def _set_one(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_all(self, _: Any) -> None:
        self._set(self._values())

    def _dict(self, _: Any) -> None:
        values = self._values()
        self._stack.append({})
        self._set(values)

    def _memoise(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _put(self, index: Any) -> None:
        number = int(index)
        if not 0 <= number < _MOST_REMEMBERED:  # large integers could all have the same hash
            raise BadPickleError("it remembers a value by a number that no program gives")
        self._memo[number] = self._stack[-1]

    def _get(self, index: Any) -> None:
        self._stack.append(self._memo[int(index)])

    def _persistent(self, argument: Any) -> None:
        # Before torch 1.6 the class of a module was wrapped together with its source text.
        wraps_class = isinstance(argument, tuple) and argument[:1] == ("module",) and isinstance(argument[1], Global)
        found = argument[1] if wraps_class else Persistent(argument)
        if isinstance(argument, tuple) and argument[:1] == ("reduce_package",) and len(argument) == 4:
            # What torch.package makes with a function of its own, under a number for each object.
            number = argument[1] if is_key(argument[1]) else None
            found = self._packaged.setdefault(number, Stub(argument[2], argument[3]))
            if isinstance(argument[2], Global):
                self._result.called.setdefault(argument[2])
        if isinstance(found, Persistent):
            self._result.persistent.append(found)
        self._stack.append(found)

    def _persistent_of_stack(self, _: Any) -> None:
        self._persistent(self._stack.pop())

    def _global_of_stack(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _global(self, argument: Any) -> None:
        module, _, name = str(argument).partition(" ")
        self._name(module, name)

    def _extension(self, code: Any) -> None:
        # Extension codes stand for names that were registered in the process that wrote the file.
        self._name("copyreg", f"extension {code}")

    def _buffer(self, _: Any) -> None:
        raise BadPickleError("it refers to a buffer outside the file")


_LONGEST_KEY: Final = 64
_MOST_ALIKE: Final = 64
"""Keys of one hash in a dict, among tuples, whose hashes a file can choose: a million of them would take hours."""

_MOST_STATES: Final = 8
"""How often a pickle may set the state of one object; programs do it once."""

_MOST_REMEMBERED: Final = 1 << 32
"""From here on numbers of remembered values have no binary form; no pickler gets there."""

_LITERALS: Final = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
_CONSTANTS: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Stub(Global("builtins", "set")),
    "MARK": lambda: _MARK,
}
_IGNORED: Final = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})
_HANDLERS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "POP": _Machine._pop,
    "POP_MARK": _Machine._pop_mark,
    "DUP": lambda machine, _: machine._stack.append(machine._stack[-1]),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._values())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "LIST": lambda machine, _: machine._stack.append(machine._values()),
    "FROZENSET": lambda machine, _: machine._stack.append(
        Stub(Global("builtins", "frozenset"), items=machine._values())
    ),
    "APPEND": _Machine._append_one,
    "APPENDS": _Machine._append_all,
    "ADDITEMS": _Machine._append_all,
    "DICT": _Machine._dict,
    "SETITEM": _Machine._set_one,
    "SETITEMS": _Machine._set_all,
    "MEMOIZE": _Machine._memoise,
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._global_of_stack,
    "EXT1": _Machine._extension,
    "EXT2": _Machine._extension,
    "EXT4": _Machine._extension,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._reduce,
    "NEWOBJ_EX": _Machine._new_with_keywords,
    "INST": _Machine._instance,
    "OBJ": _Machine._object,
    "BUILD": _Machine._build,
    "PERSID": _Machine._persistent,
    "BINPERSID": _Machine._persistent_of_stack,
    "NEXT_BUFFER": _Machine._buffer,
}
