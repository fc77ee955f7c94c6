"""The errors that a user can meet: each is one sentence with the cause, and a hint on what to do."""

from __future__ import annotations

from typing import ClassVar, Final

from bnlint.text import printable, text_of

LONGEST: Final = 4000
"""Characters of a cause or a hint; a list of what can be chosen may take some hundred."""

AGAIN: Final = "Download or copy it again."
"""The hint for a file that is cut short or damaged."""


class BnlintError(Exception):
    """Something that bnlint cannot do, told to a person.

    Names in a file can hold line breaks and commands for a terminal, which are escaped, and be of any length.

    Args:
        cause: One sentence, without a traceback, that says what is wrong.
        hint: What the user can do about it; empty where there is nothing to add.

    Attributes:
        exit_code: The exit status of the command line for this error.
        trace: The traceback in the process where it was raised, if that is another one and was asked for it.
    """

    exit_code: ClassVar[int] = 2
    trace: str = ""

    def __init__(self, cause: str, hint: str = "") -> None:
        self.cause = printable(_shortened(cause))
        self.hint = printable(_shortened(hint))
        super().__init__(self.cause)

    def __str__(self) -> str:
        return f"{self.cause} {self.hint}".strip()


class InternalError(Exception):
    """What bnlint itself failed on in a process that it started; the text says which exception that was.

    Attributes:
        trace: As for `BnlintError`.
    """

    trace: str = ""


class UsageError(BnlintError):
    """Wrong usage: an unknown name, option, configuration or import string."""


class UnknownOptionError(UsageError, TypeError):
    """A keyword that a function does not take: a `TypeError` too, as of any other Python function."""


class RuleFileError(UsageError):
    """A rule file that cannot be used; the cause names the file and the line."""


class NotAnalysedError(BnlintError):
    """Something that was asked for and could not be read, loaded or traced."""

    exit_code: ClassVar[int] = 3


class NoModelError(NotAnalysedError):
    """A sound file that holds neither a model nor weights."""


def described(error: BaseException) -> str:
    """An exception that is not bnlint's own in one line: its class, and what it says.

    Args:
        error: The exception; one of a model's own may not even have a text.
    """
    if isinstance(error, InternalError):
        return str(error)
    text = " ".join(text_of(error).split())
    return printable(_shortened(f"{type(error).__name__}: {text}".removesuffix(": ").removesuffix(".")))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
