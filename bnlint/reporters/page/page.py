"""A page of styled text: prose wrapped beside a narrow column of labels."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from rich.text import Text

from bnlint.reporters.page.style import Style
from bnlint.reporters.page.wrapping import wrapped
from bnlint.text import printable

if TYPE_CHECKING:
    from rich.console import Console

GUTTER: Final = 9
"""Width of the column of labels: that of `warning` and two spaces."""
_CODE: Final = re.compile(r"`([^`]+)`")


def prose(text: str, style: str = "") -> Text:
    """A line of text in which what stands in backticks is code: coloured, the backticks kept for plain output."""
    line = Text(printable(text), style=style)
    line.highlight_regex(_CODE, "cyan")
    return line


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its name; a table whose columns have none has no line of headings.
        style: Colour, as rich names it.
        right: Whether cells end at the same column, as numbers should.
        wraps: Whether cells may take several lines.
        width: Columns of the page that it takes; what its cells need where not given.
    """

    heading: str = ""
    style: str = ""
    right: bool = False
    wraps: bool = True
    width: int | None = None


class Page:
    """Collects lines; each method adds some.

    Args:
        style: Width and colour of the page.
    """

    def __init__(self, style: Style) -> None:
        self._width = style.width
        self._colour = style.colour
        self._file = io.StringIO()

    @cached_property
    def _console(self) -> Console:
        """Only colours and tables need it: a report in a pipe is written without."""
        from rich.console import Console

        return Console(
            file=self._file,
            width=self._width,
            force_terminal=self._colour,
            color_system="standard" if self._colour else None,
            no_color=not self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
            _environ={},
        )

    def blank(self) -> None:
        """An empty line."""
        self._file.write("\n")

    def line(self, text: Text | str, *, label: Text | str = "", indent: int | None = None) -> None:
        """Text that wraps at the width of the page.

        Args:
            text: What to write; a `str` is taken as prose.
            label: What stands to its left in the first line; a `str` is dim.
            indent: Columns before the text; by default those of the gutter where there is a label, else 0.
        """
        if indent is None:
            indent = GUTTER if label else 0
        body = text if isinstance(text, Text) else prose(text)
        first = label.copy() if isinstance(label, Text) else Text(label, style="dim")
        first.pad_right(indent - first.cell_len)
        for line in wrapped(body, max(self._width - indent, 20)):
            self._write(Text.assemble(first, line))
            first = Text(" " * indent)

    def paragraphs(self, text: str, *, label: str = "") -> None:
        """Several lines of prose, each wrapped by itself; only the first has the label."""
        for line in text.strip().splitlines():
            self.line(line, label=label, indent=GUTTER)
            label = ""

    def clipped(self, text: Text, *, label: str = "") -> None:
        """One line that is cut, not wrapped: source code."""
        line = Text.assemble((f"{label:<{GUTTER}}", "dim"), text)
        line.truncate(self._width, overflow="ellipsis")
        self._write(line)

    def verbatim(self, text: str, *, label: str = "") -> None:
        """Lines that are neither wrapped nor cut: code, and addresses, which could not be copied otherwise."""
        for line in text.strip("\n").splitlines():
            self._write(Text.assemble((f"{label:<{GUTTER}}", "dim"), printable(line)))
            label = ""

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table without rules, two columns from the edge; its first column wraps in what room the others leave."""
        first, *others = headings
        self.grid([Column(first, "green"), *(Column(heading, wraps=False) for heading in others)], rows)

    def grid(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """A table without rules, two columns from the edge; the columns that wrap share what room the others leave."""
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), expand=False, header_style="dim", show_edge=False)
        table.show_header = any(column.heading for column in columns)
        for column in columns:
            table.add_column(
                Text(column.heading),
                style=column.style,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=not column.wraps,
                width=column.width,
            )
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        with self._console.capture() as capture:
            self._console.print(table, width=self._width - 2)
        for line in capture.get().splitlines():
            self._write(Text.assemble("  ", Text.from_ansi(line)))

    def text(self) -> str:
        """All that was written, ending in a line break."""
        return self._file.getvalue()

    def _write(self, line: Text) -> None:
        line.rstrip()
        if self._colour:
            self._console.print(line, soft_wrap=True)
        else:
            self._file.write(f"{line.plain}\n")
