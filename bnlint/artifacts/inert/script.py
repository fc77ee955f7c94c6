"""TorchScript archives as data: the module tree from `data.pkl`, and what the code beside it writes out."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from bnlint.artifacts.inert.machine import LARGEST_PICKLE, BadPickleError, Pickled, read_pickle
from bnlint.artifacts.inert.regions import Region
from bnlint.artifacts.inert.script_code import LIBRARY, CodeCall, CodeUnit, Constant, parse_code
from bnlint.artifacts.inert.script_layers import (
    LayerPaths,
    PlacedCall,
    agreed,
    keeps_statistics,
    untold_modes,
    without_unused,
)
from bnlint.artifacts.inert.script_lines import SourceLine, SourceLines
from bnlint.artifacts.inert.tensors import SavedTensor, as_tensor
from bnlint.artifacts.inert.tree import MOST_MODULES, Plain, SavedModule
from bnlint.artifacts.inert.values import Global, Stub, attributes, is_scalar
from bnlint.artifacts.names import joined
from bnlint.artifacts.zip_members import BAD_ZIP, bad_zip_words, open_archive, region_of, stored_members
from bnlint.opening import open_regular

LARGEST_CODE: Final = 1 << 24
"""Bytes of one file of code, unpacked; that of a large published model takes about 1 MB."""

ALL_CODE: Final = 1 << 26
"""Bytes of all code, unpacked."""

_CODE: Final = "code/"
_COMPRESSED: Final = (_CODE, "callstack_debug_map.pkl")
"""Members that torch compresses; the second stands in archives for its interpreter on mobile devices."""

_MANGLED: Final = re.compile(r"___torch_mangle_\d+\.")


class ScriptCall(msgspec.Struct, frozen=True):
    """A normalisation call in the code of a module.

    Attributes:
        module: Path of the layer whose running statistics it is given; otherwise of the module in whose code it
            stands. Several calls of one module stand in the order of its code.
        operator: Such as `batch_norm`.
        arguments: Constant arguments, such as `training`, `momentum` and `eps`; those that are computed are absent.
        tensors: Arguments that are constants of the archive, as in a frozen program, by name.
        source: The line of Python that it was made from, or that calls the module; `None` where unknown.
    """

    module: str
    operator: str
    arguments: dict[str, Constant]
    tensors: dict[str, SavedTensor]
    source: SourceLine | None = None


class Script(msgspec.Struct, frozen=True):
    """A TorchScript archive as data.

    Attributes:
        modules: The modules in the order of `named_modules()`, each object once.
        calls: The normalisation calls in their code.
        regions: Where each storage lies, by its key: `data/0`, `constants/0`.
        little_endian: The byte order of the storages.
        called: Classes whose `__setstate__` the loader would run.
        unparsed: Files of code that are not what torch writes.
        untold_modes: Modules of which the code does not tell how they normalise.
    """

    modules: tuple[SavedModule, ...]
    calls: tuple[ScriptCall, ...]
    regions: dict[str, Region]
    little_endian: bool
    called: tuple[str, ...]
    unparsed: tuple[str, ...]
    untold_modes: tuple[str, ...] = ()


def read_script(path: Path) -> Script:
    """Read a file of `torch.jit.save`.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        BadPickleError: The archive is damaged, or is none of TorchScript.
    """
    try:
        with open_regular(path) as file, open_archive(file) as archive:
            return _Reader(archive).script(file)
    except BAD_ZIP as error:
        if isinstance(error, BadPickleError):
            raise
        raise BadPickleError(bad_zip_words(error)) from error


class _Reader:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = stored_members(archive, compressed=_COMPRESSED)
        self._unparsed: list[str] = []
        self._units = self._code()
        self._lines = cache(self._read_lines)

    def script(self, file: Any) -> Script:
        root = self._pickle("data.pkl").value
        constants = self._pickle("constants.pkl").value if "constants.pkl" in self._members else ()
        tensors = [_in_folder(as_tensor(item), "constants") for item in constants] if _is_row(constants) else []
        stubs = dict(self._modules(root))
        layers = LayerPaths(stubs)
        called = self._called(stubs, layers)
        placed = without_unused(self._placed(stubs, layers), called)
        calls = list(self._calls(placed, self._callers(stubs), tensors))
        outside: dict[str, list[ScriptCall]] = {}
        for found, call in zip(placed, calls, strict=True):
            if found.from_outside:
                outside.setdefault(call.module, []).append(call)
        order = self._members.get("byteorder")
        regions = {
            name: region_of(file, member)
            for name, member in self._members.items()
            if name.startswith(("data/", "constants/"))
        }
        return Script(
            modules=tuple(self._record(path, stub, outside.get(path, ())) for path, stub in stubs.items()),
            calls=tuple(calls),
            regions=regions,
            little_endian=order is None or self._archive.read(order) != b"big",
            called=tuple(dict.fromkeys(class_path(stub) for stub in stubs.values() if self._unit(stub).sets_state)),
            unparsed=tuple(self._unparsed),
            untold_modes=tuple(untold_modes(stubs, placed, called)),
        )

    def _code(self) -> dict[str, CodeUnit]:
        units: dict[str, CodeUnit] = {}
        total = 0
        for name in self._members:
            if not name.startswith(_CODE) or not name.endswith(".py"):
                continue
            source = self._read(name, LARGEST_CODE)
            total += len(source)
            if total > ALL_CODE:
                raise BadPickleError("its code is longer than that of any model")
            try:
                units |= parse_code(source, name, name.removeprefix(_CODE).removesuffix(".py").replace("/", "."))
            except ValueError:
                self._unparsed.append(name)
        return units

    def _read(self, name: str, most: int) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise BadPickleError(f"it has no `{name}`")
        with self._archive.open(member) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise BadPickleError(f"its `{name}` is longer than any model needs")
        return data

    def _pickle(self, name: str, most: int = LARGEST_PICKLE) -> Pickled:
        return read_pickle(io.BytesIO(self._read(name, most)))

    def _read_lines(self, file: str) -> SourceLines:
        """The lines that a file of code was made from; an archive without them, or with damaged ones, has none."""
        try:
            return SourceLines(self._pickle(f"{file}.debug_pkl", LARGEST_CODE).value)
        except BAD_ZIP:
            return SourceLines(None)

    def _modules(self, root: Any) -> Iterator[tuple[str, Stub]]:
        pending: list[tuple[str, Any]] = [("", root)]
        seen: set[int] = set()
        while pending:
            path, value = pending.pop()
            if id(value) in seen or not self._is_module(value):
                continue
            seen.add(id(value))
            if len(seen) > MOST_MODULES:
                raise BadPickleError("it has more modules than any model")
            yield path, value
            pending += [(joined(path, name), item) for name, item in reversed(attributes(value).items())]
        if not seen:
            raise BadPickleError("its `data.pkl` holds no module")

    def _is_module(self, value: Any) -> bool:
        if not isinstance(value, Stub) or not isinstance(value.maker, Global) or _name(value)[:9] != "__torch__":
            return False
        unit = self._units.get(_name(value))
        # Where its code cannot be parsed: every module has the flag, and other classes have no reason to.
        return "training" in attributes(value) if unit is None else unit.is_module

    def _unit(self, stub: Stub) -> CodeUnit:
        return self._units.get(_name(stub)) or CodeUnit("")

    def _record(self, path: str, stub: Stub, outside: Sequence[ScriptCall]) -> SavedModule:
        unit = self._unit(stub)
        kept: dict[str, Plain] = dict(unit.constants)
        tensors: dict[str, SavedTensor] = {}
        for name, value in attributes(stub).items():
            tensor = _in_folder(as_tensor(value), "data")
            if tensor is not None:
                tensors[name] = msgspec.structs.replace(tensor, parameter=name in unit.parameters)
            elif value is not None and is_scalar(value) and not isinstance(value, (bytes, Global)):
                kept[name] = value
        for call in outside:  # a frozen program has the tensors of a layer as constants of the code around it
            for name, constant in call.tensors.items():
                tensors.setdefault(name, constant)
        own = [call for call in unit.calls if "." not in (call.statistics or "")]  # the others are of other modules
        calls: list[CodeCall | ScriptCall] = [*outside, *own]
        if "running_mean" in tensors or not unit.children:
            kept = {**agreed([call.arguments for call in calls]), **kept}
        if not unit.children and calls and all(keeps_statistics(call.operator) for call in calls):
            kept.setdefault("track_running_stats", "running_mean" in tensors)
        return SavedModule(path, class_path(stub), kept, tensors)

    def _callers(self, stubs: Mapping[str, Stub]) -> dict[str, SourceLine]:
        """For each module the line that calls it, or that calls the module around it."""
        callers: dict[str, SourceLine] = {}
        for path, stub in stubs.items():
            unit = self._unit(stub)
            for name, offset in unit.children.items():
                line = self._lines(unit.file).at(offset) or callers.get(path)
                if line is not None:
                    callers.setdefault(joined(path, name), line)
        return callers

    def _called(self, stubs: Mapping[str, Stub], layers: LayerPaths) -> frozenset[str]:
        """Paths of the modules that the code of others calls."""
        found = {layers.path_of(path, child) for path, stub in stubs.items() for child in self._unit(stub).children}
        return frozenset(path for path in found if path is not None) | {""}

    def _placed(self, stubs: Mapping[str, Stub], layers: LayerPaths) -> Iterator[PlacedCall]:
        for path, stub in stubs.items():
            for file, call in self._reached(_name(stub)):
                yield layers.place(path, file, call)

    def _calls(
        self,
        placed: Sequence[PlacedCall],
        callers: Mapping[str, SourceLine],
        tensors: Sequence[SavedTensor | None],
    ) -> Iterator[ScriptCall]:
        for found in placed:
            call = found.call
            held = {
                name: tensor
                for name, number in call.constants.items()
                if number < len(tensors) and (tensor := tensors[number]) is not None
            }
            source = self._lines(found.file).at(call.offset) or callers.get(found.caller)
            module = found.caller if found.layer is None else found.layer
            yield ScriptCall(module, call.operator, dict(call.arguments), held, source)

    def _reached(self, name: str) -> list[tuple[str, CodeCall]]:
        """The calls in the code of a class, and in the functions that it uses, with the file that each stands in."""
        found: list[tuple[str, CodeCall]] = []
        pending, seen = [name], {name}
        while pending:
            unit = self._units.get(pending.pop())
            if unit is None:
                continue
            found += [(unit.file, call) for call in unit.calls]
            for used in sorted(unit.used - seen):
                other = self._units.get(used)
                if other is not None and not other.is_module and not used.startswith(LIBRARY):
                    seen.add(used)
                    pending.append(used)
        return found


def class_path(stub: Stub) -> str:
    """Dotted path of the Python class that a TorchScript class was made from."""
    path = _MANGLED.sub("", _name(stub)).removeprefix("__torch__.")
    return path if "." in path else f"__main__.{path}"


def _name(stub: Stub) -> str:
    return str(stub.maker)


def _is_row(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _in_folder(tensor: SavedTensor | None, folder: str) -> SavedTensor | None:
    if tensor is None or not tensor.storage:
        return tensor
    return msgspec.structs.replace(tensor, storage=f"{folder}/{tensor.storage}")
