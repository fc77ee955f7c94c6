"""What a user may set without writing a rule: which rules run, how much they matter, their options, and what fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bnlint.errors import UsageError
from bnlint.report import Context, Severity
from bnlint.ruleset.source import Key, Source

Number = int | float
Word = Annotated[str, Meta(min_length=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that a profile, the configuration file and the arguments of a check have in common.

    What each means is said with the options of a check. What is empty or `None` leaves the matter to others.
    """

    context: Context | None = None
    fail_on: Literal["error", "warning", "info", "never"] | None = None
    select: tuple[Word, ...] = ()
    ignore: tuple[Word, ...] = ()
    require: tuple[Word, ...] = ()
    severity: dict[str, Severity] = {}
    options: dict[str, dict[str, Number]] = {}


@dataclass(frozen=True)
class Layer:
    """Settings and where they come from.

    Attributes:
        settings: The settings.
        source: What holds them; it says where a mistake is.
    """

    settings: Settings
    source: Source


@dataclass(frozen=True)
class Arguments(Source):
    """Settings that come as arguments: there is no file whose lines could be named."""

    def error(self, path: tuple[Key, ...], problem: str, hint: str = "") -> UsageError:  # noqa: ARG002
        """An error that is only the problem."""
        return self.mistake(problem[0].upper() + problem[1:], hint)

    def line(self, path: tuple[Key, ...]) -> int:  # noqa: ARG002
        """There are no lines."""
        return 0


def arguments(values: Mapping[str, Any]) -> Layer:
    """Settings from the arguments of a call or of the command line.

    Args:
        values: Fields of `Settings` by name.

    Raises:
        UsageError: If one has the wrong type or is none of the names allowed; it offers the nearest right one.
    """
    source = Arguments("", dict(values), UsageError)
    return Layer(source.convert(Settings), source)
