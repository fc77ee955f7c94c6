"""A file that people write settings or rules in: its content, and the line of each part of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from bnlint.errors import UsageError

T = TypeVar("T")

Key = str | int
"""A step into a document: a key of a mapping or an index of a list."""


@dataclass(frozen=True)
class Source(ABC):
    """A document and where each part of it stands.

    Attributes:
        name: The file as messages name it.
        data: The document as plain Python data.
        mistake: The error that a mistake in it is.
    """

    name: str
    data: Any
    mistake: type[UsageError]

    def error(self, path: tuple[Key, ...], problem: str, hint: str = "") -> UsageError:
        """An error that names the file, the line of a key or value, and the problem."""
        return self.mistake(f"{self.name}:{self.line(path)}: {problem}", hint)

    def convert(self, kind: type[T]) -> T:
        """The content as a type that msgspec knows.

        Raises:
            UsageError: If it is something else; the error names the line, and the nearest right name to a wrong one.
        """
        try:
            return msgspec.convert(self.data, kind)
        except msgspec.ValidationError as error:
            from bnlint.ruleset.complaint import complain  # only a mistake needs it

            raise complain(self, kind, error) from error

    @abstractmethod
    def line(self, path: tuple[Key, ...]) -> int:
        """The line, from 1, of the last part of a path that the document has."""
