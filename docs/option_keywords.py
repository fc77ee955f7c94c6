"""Writes `bnlint/checking/keywords.py`, by which type checkers and editors know the options of the public functions.

They read names and types in a file, which is made of the record of options: `python -m docs.option_keywords`, or
`make docs`.
"""

from __future__ import annotations

import ast
import builtins
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bnlint.checking import options
from bnlint.checking.option import Option, Options
from bnlint.checking.options import CheckOptions, for_inspect, for_many

FILE: Final = Path(options.__file__).with_name("keywords.py")
_HEAD: Final = '''# ruff: noqa: I001 - written by `make docs`, from options.py
"""The keywords of the public functions, for type checkers and editors; nothing imports this when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
'''
_WIDTH: Final = 120
_GROUPS: Final = {
    (True, True): "_Looking",
    (True, False): "_LookingAtOne",
    (False, True): "_Judging",
    (False, False): "_JudgingOne",
}
"""Names for the options that `inspect` takes or not, and `check_files` or not."""


def keywords_text(record: type[Options] = CheckOptions) -> str:
    """The text of the file: a `TypedDict` for each set of options, and for each function what it takes.

    Args:
        record: The record of options.
    """
    known = record.entries.values()
    groups: dict[tuple[bool, bool], list[Option]] = {}
    for one in known:
        groups.setdefault((for_inspect(one), for_many(one)), []).append(one)
    classes = [_class(_GROUPS[of], group) for of, group in groups.items()]
    for name, function, members in (
        ("CheckKeywords", "check", groups),
        ("InspectKeywords", "inspect", [of for of in groups if of[0]]),
        ("FilesKeywords", "check_files", [of for of in groups if of[1]]),
    ):
        bases = ", ".join(_GROUPS[of] for of in members)
        classes.append(f'class {name}({bases}, total=False):\n    """What `bnlint.{function}` takes by name."""\n')
    return _HEAD + _imports(known) + "\n\n" + "\n\n".join(classes)


def _class(name: str, group: Iterable[Option]) -> str:
    return f"class {name}(TypedDict, total=False):\n" + "".join(line for one in group for line in _lines(one))


def _lines(one: Option) -> Iterator[str]:
    yield f"    {one.name}: {one.type}\n".replace("'", '"')
    text = f'"""{one.doc}"""'
    yield textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False) + "\n"


def _imports(all_options: Iterable[Option]) -> str:
    """What the types are made of, one line each: as the module of the record imports it, or from there."""
    module = ast.parse(Path(options.__file__).read_text(encoding="utf-8"))
    lines = {}
    for node in ast.walk(module):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            source = f"from {node.module} import " if isinstance(node, ast.ImportFrom) else "import "
            lines[alias.name] = f"{source}{alias.name}\n"
    used = {node.id for one in all_options for node in ast.walk(ast.parse(one.type)) if isinstance(node, ast.Name)}
    found = [lines.get(name, f"from {options.__name__} import {name}\n") for name in used - set(vars(builtins))]
    return "".join(f"    {line}" for line in sorted(found))


def main() -> int:
    """Write the file."""
    FILE.write_text(keywords_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
