"""What is wrong with a rule file, in words: turns a validation error into a sentence with the nearest right name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from bnlint.errors import RuleFileError
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.ruleset.conditions import OPERATORS
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.schema import RECORDS, RULE_FILES, Sort, sort_of
from bnlint.ruleset.yaml_source import Key, YamlSource

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "a mapping",
    "str": "a text",
}
_PATTERNS = {
    "code": "it is two capital letters or more and three digits, such as ACME001",
    "name": "it is lower-case words with hyphens, such as never-updated-statistics",
    "options": "option names are lower-case words with underscores",
}


def complain(source: YamlSource, of: str, error: msgspec.ValidationError) -> RuleFileError:
    """The error for a person.

    Args:
        source: The file, whose `of` is known to be right.
        of: The record that the rule reads.
        error: What msgspec found.
    """
    problem, _, where = str(error).partition(" - at ")
    return _Complaint(source, of, _path(where)).sentence(problem)


def _path(where: str) -> tuple[Key, ...]:
    return tuple(int(index) if index else name for name, index in _STEP.findall(where))


@dataclass(frozen=True)
class _Complaint:
    source: YamlSource
    of: str
    path: tuple[Key, ...]

    def sentence(self, problem: str) -> RuleFileError:
        if match := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
            return self._unknown_key(match[1])
        if match := re.fullmatch(r"Object missing required field `(.*)`", problem):
            return self._error(f'the key "{match[1]}" is missing.')
        if match := re.fullmatch(r"Invalid enum value '(.*)'", problem):
            return self._wrong_value(match[1])
        if match := re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem):
            return self._wrong_type(match[1], _WORDS.get(match[2], match[2]))
        return self._error(self._other(problem))

    def _error(self, problem: str, hint: str = "") -> RuleFileError:
        return self.source.error(self.path, problem, hint)

    @property
    def _fact(self) -> FactEntry | None:
        """The fact whose operators the path has reached, if any."""
        entry = vocabulary(RECORDS[self.of]).get(str(self.path[-1])) if self.path else None
        return entry if self.path[:1] == ("when",) else None

    def _unknown_key(self, key: str) -> RuleFileError:
        here = (*self.path, key)
        if self._fact is not None:
            return self.source.error(here, *self._unknown_operator(key, self._fact))
        candidates = _keys(_type_at(RULE_FILES[self.of], self.path))
        question = did_you_mean(key, candidates)
        if self.path[:1] != ("when",):
            hint = question or f"the keys here are {alternatives(candidates, 'and')}."
            return self.source.error(here, f'unknown key "{key}";', hint)
        for record, facts in RECORDS.items():
            if key in vocabulary(facts):
                return self.source.error(here, f'"{key}" is a fact of: {record}, and this rule is of: {self.of}.')
        return self.source.error(here, f'unknown fact "{key}";', question or "`bnlint facts` lists them.")

    def _unknown_operator(self, key: str, fact: FactEntry) -> tuple[str, str]:
        sort = sort_of(fact)
        usable = f"use {alternatives(sort.operators)}."
        if any(key in other.operators for other in Sort):
            return f'the operator "{key}" does not suit "{fact.name}", which is {sort.description};', usable
        return f'unknown operator "{key}" for "{fact.name}";', did_you_mean(key, sort.operators) or usable

    def _wrong_value(self, value: str) -> RuleFileError:
        keys = [key for key in self.path if isinstance(key, str) and key not in OPERATORS]
        candidates = _values(_type_at(RULE_FILES[self.of], self.path))
        hint = did_you_mean(value, candidates) or f"it is {alternatives(candidates)}."
        return self._error(f'unknown value "{value}" of "{keys[-1]}";', hint)

    def _wrong_type(self, expected: str, got: str) -> RuleFileError:
        if self._fact is not None:
            sort = sort_of(self._fact)
            hint = f"use {alternatives(sort.operators)}." if sort.operators else "it takes no operators."
            return self._error(f'"{self._fact.name}" is {sort.description}, which {got} does not suit;', hint)
        words = dict.fromkeys(_WORDS.get(word, word) for word in expected.split(" | "))
        if "a number" in words:
            words.pop("a whole number", None)
        key = self.path[-1] if self.path else "this file"
        label = f'"{key}"' if isinstance(key, str) else "this item"
        if self.path == ("options",):
            label = "each of the options"
        return self._error(f"{label} must be {alternatives(words)}, not {got}.")

    def _other(self, problem: str) -> str:
        key = str(self.path[-1]) if self.path else ""
        if "matching regex" in problem and "$[a-z]" in problem:
            return f'"{key}" must be a number, or an option of the rule such as $minimum.'
        if "matching regex" in problem and key in _PATTERNS:
            return f'"{key}" has the wrong form: {_PATTERNS[key]}.'
        if "of length >= 1" in problem:
            return f'"{key}" must not be empty.'
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
