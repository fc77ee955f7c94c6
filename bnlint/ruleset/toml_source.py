"""A table of a TOML file, with the line of every key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bnlint.errors import UsageError
from bnlint.ruleset.source import Key, Source

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?")
_ENTRY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
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
        for number, line in enumerate(self.text.splitlines(), start=1):
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
        UsageError: If the text is not TOML.
    """
    import tomllib  # few projects keep settings in TOML

    try:
        data: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not valid TOML: {error}.") from error
    for key in table:
        data = data.get(key) if isinstance(data, dict) else None
    return None if data is None else TomlSource(name, data, UsageError, text, table)


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
