"""Gives functions that take options as keywords the signature and the documentation of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from bnlint.checking.option import Option

Function = TypeVar("Function", bound=Callable[..., Any])

_WIDTH: Final = 120
_KEYWORDS: Final = re.compile(r"^( +)\*\*(\w+): .*\n", re.MULTILINE)
"""The place in a docstring where the options belong."""


def takes_options(options: Iterable[Option]) -> Callable[[Function], Function]:
    """Document the keywords of a function, so that `help()` and `inspect.signature()` show each.

    Args:
        options: The options that the function takes as `**options`; they take the place of the line on `**options` in
            its docstring.
    """
    known = list(options)

    def decorate(function: Function) -> Function:
        function.__signature__ = _signature(function, known)  # type: ignore[attr-defined]
        if function.__doc__:  # there is none under `python -OO`
            function.__doc__ = _KEYWORDS.sub(lambda match: _paragraphs(known, match[1]), function.__doc__, count=1)
        return function

    return decorate


def _signature(function: Callable[..., Any], options: Iterable[Option]) -> inspect.Signature:
    own = inspect.signature(function)
    parameters = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in options
    ]
    return own.replace(parameters=[*parameters, *keywords])


def _paragraphs(options: Iterable[Option], indent: str) -> str:
    return "".join(
        f"{line}\n" for one in options for line in _wrapped(f"{one.name}: {one.doc}", indent, f"{indent}    ")
    )


def _wrapped(text: str, first: str, others: str) -> Iterator[str]:
    """The lines of a text; `textwrap` would be one more import at each start."""
    line = first
    for word in text.split(" "):
        if len(line) + len(word) >= _WIDTH and line.strip():
            yield line.rstrip()
            line = others
        line += f"{word} "
    yield line.rstrip()
