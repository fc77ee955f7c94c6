"""Writes the tables of options in `docs/configuration.md`: `python -m docs.option_table`, or `make docs`.

They are made of the record of options, `bnlint/checking/options.py`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bnlint.checking.option import Option, Options
from bnlint.checking.options import CheckOptions

PAGE: Final = Path(__file__).parent / "configuration.md"
_PART: Final = re.compile(r"(<!-- (\w+): written by .* -->\n).*?(<!-- end of \2 -->\n)", re.DOTALL)
_HEAD: Final = "| {} | on the command line | in `bnlint.check` | meaning |\n| --- | --- | --- | --- |\n"


def page(record: type[Options] = CheckOptions) -> str:
    """The text of the page with the tables of today.

    Args:
        record: The record of options.
    """
    known = record.entries.values()
    parts = {
        "options": _table("key", [one for one in known if one.in_file]),
        "others": _table("option", [one for one in known if not one.in_file]),
    }
    return _PART.sub(lambda part: f"{part[1]}\n{parts[part[2]]}\n{part[3]}", PAGE.read_text(encoding="utf-8"))


def _table(head: str, options: Iterable[Option]) -> str:
    return _HEAD.format(head) + "".join(
        f"| `{one.name}` | {_flag(one)} | `{one.name}={_value(one.example)}` | {one.doc} |\n" for one in options
    )


def _flag(one: Option) -> str:
    if one.form is None:
        return ""
    words = _WORDS.get(one.form, str)(one.example)
    return f"`{one.flag} {words}`".replace(" `", "`")


def _mapping(values: Mapping[str, Any]) -> str:
    return f"'{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}'"


def _numbers(values: Mapping[str, Mapping[str, float]]) -> str:
    return " ".join(f"{rule}.{name}={number}" for rule, own in values.items() for name, number in own.items())


def _severities(values: Mapping[str, str]) -> str:
    return " ".join(f"{rule}={level}" for rule, level in values.items())


_WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "flag": lambda _: "",
    "words": ",".join,
    "texts": " ".join,
    "folders": " ".join,
    "yaml": _mapping,
    "severities": _severities,
    "numbers": _numbers,
}


def _value(example: object) -> str:
    """A value as Python source."""
    if example is None:
        return "…"
    if isinstance(example, tuple):
        return _value(list(example))
    text = f"{example:_}" if type(example) is int else repr(example)
    return text.replace("'", '"')


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
