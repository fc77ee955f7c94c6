"""What is wrong with a file, in words: turns a validation error into a sentence with the nearest right name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from bnlint.errors import UsageError
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.source import Key, Source

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|(\[\.\.\.\])")
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "a mapping",
    "str": "a text",
}


def complain(source: Source, kind: Any, error: msgspec.ValidationError) -> UsageError:
    """The error for a person.

    Args:
        source: The file.
        kind: The type that it was to be converted to.
        error: What msgspec found.
    """
    return Complaint(source, kind, path_of(source, kind, error)).sentence(error)


def path_of(source: Source, kind: Any, error: msgspec.ValidationError) -> tuple[Key, ...]:
    """Where in a file an error is; msgspec does not name the keys of a mapping of any keys, so they are looked for."""
    path: tuple[Key, ...] = ()
    for name, index, any_key in _STEP.findall(str(error).partition(" - at ")[2]):
        key = _guilty_key(source, kind, path, str(error)) if any_key else (int(index) if index else name)
        if key is None:
            break
        path = (*path, key)
    return path


def _guilty_key(source: Source, kind: Any, path: tuple[Key, ...], error: str) -> Key | None:
    """The key of the mapping at a path whose entry, left there by itself, still gives the error."""
    mapping = source.data
    for key in path:
        mapping = mapping[key]
    for key, value in mapping.items():
        try:
            msgspec.convert(_with(source.data, path, {key: value}), kind)
        except msgspec.ValidationError as other:
            if str(other) == error:
                return str(key)
    return None


def _with(data: Any, path: tuple[Key, ...], value: Any) -> Any:
    """A copy of a document in which a value stands at a path."""
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = _with(data[path[0]], path[1:], value)
    return copy


@dataclass(frozen=True)
class Complaint:
    """What is wrong at one place of a file.

    Attributes:
        source: The file.
        kind: The type that it was to be converted to.
        path: The place.
    """

    source: Source
    kind: Any
    path: tuple[Key, ...]

    @property
    def subject(self) -> str:
        """The key that the value at the place belongs to."""
        return next((key for key in reversed(self.path) if isinstance(key, str)), "this file")

    @property
    def _label(self) -> str:
        if not self.path:
            return self.subject
        return f'an item of "{self.subject}"' if isinstance(self.path[-1], int) else f'"{self.path[-1]}"'

    def sentence(self, error: msgspec.ValidationError) -> UsageError:
        """The error for a person."""
        problem = str(error).partition(" - at ")[0]
        if match := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
            return self.unknown_key(match[1])
        if match := re.fullmatch(r"Object missing required field `(.*)`", problem):
            return self.error(f'the key "{match[1]}" is missing.')
        if match := re.fullmatch(r"Invalid enum value '(.*)'", problem):
            return self.wrong_value(match[1])
        if match := re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem):
            return self.wrong_type(match[1], _WORDS.get(match[2], match[2]))
        return self.error(self.other(problem))

    def error(self, problem: str, hint: str = "") -> UsageError:
        """An error at the place."""
        return self.source.error(self.path, problem, hint)

    def unknown_key(self, key: str) -> UsageError:
        """A key that does not belong there."""
        candidates = _keys(_type_at(self.kind, self.path))
        hint = did_you_mean(key, candidates) or f"the keys here are {alternatives(candidates, 'and')}."
        return self.source.error((*self.path, key), f'unknown key "{key}";', hint)

    def wrong_value(self, value: str) -> UsageError:
        """A text that is none of those allowed."""
        candidates = _values(_type_at(self.kind, self.path))
        hint = did_you_mean(value, candidates) or f"it is {alternatives(candidates)}."
        return self.error(f'unknown value "{value}" of "{self.subject}";', hint)

    def wrong_type(self, expected: str, got: str) -> UsageError:
        """A value of another type than those allowed."""
        words = dict.fromkeys(_WORDS.get(word, word) for word in expected.split(" | "))
        if "a number" in words:
            words.pop("a whole number", None)
        return self.error(f"{self._label} must be {alternatives(words)}, not {got}.")

    def other(self, problem: str) -> str:
        """Any other problem, of which only the usual ones have words of their own."""
        if "of length >= 1" in problem:
            return f"{self._label} must not be empty."
        if match := re.fullmatch(r"Expected `(?:int|float)` >= (\d+)", problem):
            return f"{self._label} must be {match[1]} or more."
        return f"{problem} (at {'.'.join(map(str, self.path)) or 'the top'})."


def _type_at(root: Any, path: tuple[Key, ...]) -> list[inspect.Type]:
    """The types that are allowed at a path, unions taken apart."""
    found = _alternatives(inspect.type_info(root))
    for key in path:
        found = [step for type_ in found for step in _step(type_, key)]
    return found


def _step(type_: inspect.Type, key: Key) -> list[inspect.Type]:
    if isinstance(type_, inspect.StructType):
        return [step for field in type_.fields if field.encode_name == key for step in _alternatives(field.type)]
    if isinstance(type_, inspect.DictType):
        return _alternatives(type_.value_type)
    if isinstance(type_, (inspect.ListType, inspect.VarTupleType)) and isinstance(key, int):
        return _alternatives(type_.item_type)
    return []


def _alternatives(type_: inspect.Type) -> list[inspect.Type]:
    if isinstance(type_, inspect.Metadata):
        return _alternatives(type_.type)
    if isinstance(type_, inspect.UnionType):
        return [member for part in type_.types for member in _alternatives(part)]
    return [type_]


def _keys(types: list[inspect.Type]) -> list[str]:
    structs = [type_ for type_ in types if isinstance(type_, inspect.StructType)]
    return [key for struct in structs for key in [struct.tag_field, *(f.encode_name for f in struct.fields)] if key]


def _values(types: list[inspect.Type]) -> list[str]:
    values: list[Any] = []
    for type_ in types:
        if isinstance(type_, inspect.LiteralType):
            values += type_.values
        elif isinstance(type_, inspect.EnumType):
            values += [member.value for member in type_.cls]
    return values
