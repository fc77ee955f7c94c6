"""A table of a TOML file, with the line of every key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from bnlint.errors import UsageError
from bnlint.ruleset.limits import MOST_DEPTH, MOST_DIGITS, wrong_number
from bnlint.ruleset.source import Key, Source

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?")
_ENTRY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOKEN = re.compile(
    r"""
    (?P<text> \"{3} (?: [^"\\]++ | \\. | "(?!"") )*+ "{3,5} | '{3} (?: [^']++ | '(?!'') )*+ '{3,5}
            | " (?: [^"\\\n]++ | \\. )*+ " | '[^'\n]*+' | \#[^\n]*+ )
    | (?P<open> [\[{] ) | (?P<close> [\]}] ) | (?P<dot> \. ) | (?P<equals> = ) | (?P<end> [,\n] )
    | (?P<number> (?<![\w-]) [+-]?[0-9][0-9_]*+ ) | (?P<word> [\w-]++ )
    """,
    re.VERBOSE | re.DOTALL,
)
"""A part of TOML, as far as its nesting goes."""
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True)
class TomlSource(Source):
    """A table of a TOML file and where its keys stand.

    Attributes:
        text: The whole file.
        table: The keys that lead to the table.
    """

    text: str
    table: tuple[str, ...]

    def line(self, path: tuple[Key, ...]) -> int:
        """The line, from 1, of the longest part of a path that a header or a key of the file spells out.

        `tomllib` does not tell lines. Text that looks like a key inside a string of several lines can mislead this
        search, which only an error message uses.
        """
        wanted = [*self.table, *map(str, path)]
        best, longest, header = 0, 0, []
        for number, line in enumerate(self.text.split("\n"), start=1):
            if match := _HEADER.fullmatch(line):
                header = found = _parts(match[1])
            elif match := _ENTRY.match(line):
                found = header + _parts(match[1])
            else:
                continue
            if len(found) > longest and found == wanted[: len(found)]:
                best, longest = number, len(found)
        return best or 1


def read_toml_table(text: str, name: str, table: tuple[str, ...]) -> TomlSource | None:
    """A table of a TOML text.

    Args:
        text: The text.
        name: The file as messages name it.
        table: The keys that lead to the table.

    Returns:
        The table, `None` if the text has no such table.

    Raises:
        UsageError: If the text is not TOML, the table holds dates or numbers that no setting has, or the text goes
            beyond what `bnlint.ruleset.limits` allows.
    """
    import tomllib  # few projects keep settings in TOML

    _refuse_deep(text, name)
    try:
        data: Any = tomllib.loads(text)
    except ValueError as error:  # that of TOML, and what comes of numbers and dates that are none
        raise UsageError(f"{name} is not valid TOML: {error}.") from error
    for key in table:
        data = data.get(key) if isinstance(data, dict) else None
    if data is None:
        return None
    source = TomlSource(name, data, UsageError, text, table)
    _refuse_odd_values(source, data, ())
    return source


def _refuse_deep(text: str, name: str) -> None:
    """Refuse nesting and numbers beyond the limits: for a key of many parts `tomllib` takes memory by their square."""
    outer: list[int] = []  # for each bracket that is open: the levels that it and the key before it make
    depth = parts = waiting = 0  # all of these, the dots of the key that is being read, and of one that has a value
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "dot":
            parts += 1
        elif kind == "open":
            outer.append(1 + waiting)
            depth += outer[-1]
            parts = waiting = 0
        elif kind == "close" and outer:
            depth -= outer.pop()
        elif kind == "equals":
            parts, waiting = 0, parts
        elif kind == "end":
            parts = waiting = 0
        elif kind == "number" and len(token[0]) > MOST_DIGITS:
            raise UsageError(f"{name}:{_line(text, token)}: a number of more than {MOST_DIGITS} digits.")
        if depth + parts >= MOST_DEPTH:
            raise UsageError(f"{name}:{_line(text, token)}: nested more than {MOST_DEPTH} levels deep.")


def _line(text: str, token: re.Match[str]) -> int:
    return text.count("\n", 0, token.start()) + 1


def _refuse_odd_values(source: TomlSource, value: Any, path: tuple[Key, ...]) -> None:
    """Refuse values that no setting has."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_odd_values(source, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_odd_values(source, item, (*path, index))
    elif isinstance(value, (date, time)):
        raise source.error(path, f'"{value}" is a date for TOML;', "write it in quotation marks.")
    elif isinstance(value, (int, float)) and (wrong := wrong_number(value)):
        raise source.error(path, f"{wrong}.")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
