"""Breaking styled text into lines."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from bnlint.reporters.page.wrapping import wrapped

WORDS = st.lists(st.text("ab.漢é-", min_size=1, max_size=12), max_size=8)


@given(WORDS, st.integers(2, 15))
@example(["a" * 40], 7)
@example(["b", "a" * 15, "b"], 7)
@example([], 5)
def test_lines_are_those_of_rich(words: list[str], width: int) -> None:
    text = Text.assemble(*((f"{word} ", "bold" if index % 2 else "") for index, word in enumerate(words)))
    lines = text.wrap(Console(width=80), width)
    for line in lines:
        line.rstrip()
    assert [(line.plain, line.spans) for line in wrapped(text, width)] == [(line.plain, line.spans) for line in lines]


def test_a_line_break_ends_a_line() -> None:
    assert [line.plain for line in wrapped(Text("one two\n\nthree"), 5)] == ["one", "two", "", "three"]
