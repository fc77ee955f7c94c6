from __future__ import annotations

from bnlint.errors import NotAnalysedError


def test_names_from_a_file_neither_act_on_the_terminal_nor_break_the_line() -> None:
    error = NotAnalysedError("`a\x1b[2J\n` is damaged: größe ×.", "Leave `\x07` out.")
    assert error.cause == "`a\\x1b[2J\\n` is damaged: größe ×."
    assert str(error) == "`a\\x1b[2J\\n` is damaged: größe ×. Leave `\\x07` out."


def test_a_name_of_any_length_does_not_flood_the_terminal() -> None:
    cause = str(NotAnalysedError(f"`{'a' * 10**7}` is damaged."))
    assert len(cause) < 5000
    assert cause.endswith("a` is damaged.")
