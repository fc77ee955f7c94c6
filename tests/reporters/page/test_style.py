from __future__ import annotations

import io

import pytest

from bnlint.reporters.page.style import Style, value_text
from bnlint.text import printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def test_a_terminal_has_colours_and_a_pipe_has_none() -> None:
    assert Style.of_stream(Terminal()) == Style(100, colour=True)
    assert Style.of_stream(io.StringIO()) == Style(100, colour=False)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_declined(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not Style.of_stream(Terminal()).colour


@pytest.mark.parametrize(("columns", "width"), [("20", 40), ("80", 80), ("400", 120)])
def test_width_stays_readable(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert Style.of_stream(Terminal()).width == width


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1e-05, "1e-05"),
        (306.1190719284244, "306.119"),
        (["a", "b"], "a,b"),
        ([], "nothing"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert value_text(value) == text  # type: ignore[arg-type]


def test_printable_keeps_letters_of_every_language() -> None:
    assert printable("größe × 层") == "größe × 层"
    assert printable("a\x9bb\u202e") == "a\\x9bb\\u202e"
