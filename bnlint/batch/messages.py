"""What a process that runs code of models is told, and what it may answer."""

from __future__ import annotations

import enum
import io
import numbers
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bnlint import errors
from bnlint.errors import BnlintError, InternalError, NotAnalysedError, described
from bnlint.memory import shortage

PIPE_CLOSED: Final = 86
"""Exit code of a process that has an answer, and no pipe for it any more."""


@dataclass(frozen=True)
class Orders:
    """What holds for all questions that a process is asked.

    Attributes:
        function: What answers each, as `package.module:name`; it is called with the arguments and a `progress`.
        arguments: Arguments that are the same for all questions.
        debug: Whether the traceback of a failure is wanted.
        arguments_of_program: `sys.argv`, which the code of a model may look at.
        collect_after: New objects after which Python looks for cycles among them.
    """

    function: str
    arguments: Mapping[str, Any]
    debug: bool
    arguments_of_program: tuple[str, ...] = ()
    collect_after: int = 700


@dataclass(frozen=True)
class Stage:
    """A stage of the work begins.

    Attributes:
        name: What it is called.
    """

    name: str


@dataclass(frozen=True)
class Done:
    """The question is answered.

    Attributes:
        result: What the function returned.
        worn: Whether the code of the model has changed the process, which should answer no other question.
    """

    result: Any
    worn: bool = False


@dataclass(frozen=True)
class Raised:
    """The function raised something.

    Attributes:
        kind: Name of the class of a `BnlintError`, else empty.
        cause: Its cause; for another exception what it is, in words.
        hint: Its hint.
        own: Whether it is an exception that ends a process, such as `KeyboardInterrupt`, and therefore the code's own.
        worn: As for `Done`.
        trace: Its traceback, where that was asked for.
    """

    kind: str
    cause: str
    hint: str = ""
    own: bool = False
    worn: bool = False
    trace: str = ""

    def error(self, name: str) -> BnlintError | InternalError:
        """The exception to raise in the process that asked.

        Args:
            name: What was asked about.
        """
        error = self._error(name)
        error.trace = self.trace
        return error

    def _error(self, name: str) -> BnlintError | InternalError:
        if self.kind:
            kind: type[BnlintError] = getattr(errors, self.kind)
            return kind(self.cause, self.hint)
        if self.own:
            return NotAnalysedError(f"`{name}` could not be analysed: its code raised {self.cause}.")
        return InternalError(self.cause)


Answer = Stage | Done | Raised


def raised(error: BaseException, *, worn: bool = False, trace: str = "") -> Raised:
    """What to answer for an exception.

    Args:
        error: What was raised, which may be an exception of the model's own.
        worn: As for `Done`.
        trace: Its traceback, where that was asked for.
    """
    error = shortage(error) or error
    if isinstance(error, BnlintError):
        return Raised(type(error).__name__, error.cause, error.hint, worn=worn, trace=trace)
    own = not isinstance(error, (Exception, SystemExit))
    return Raised("", described(error), own=own, worn=worn, trace=trace)


def encode(answer: Answer) -> bytes:
    """An answer in bytes.

    Raises:
        Exception: What pickling raises for a value that the code of a model has got into the answer.
    """
    stream = io.BytesIO()
    _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(answer)
    return stream.getvalue()


def decode(message: bytes) -> Answer:
    """An answer from bytes, in which no class or function can be named but bnlint's own records.

    Args:
        message: What `encode` gave.

    Raises:
        pickle.UnpicklingError: It is no answer.
    """
    try:
        answer = _Unpickler(io.BytesIO(message)).load()
    except Exception as error:  # the bytes are what they are
        raise pickle.UnpicklingError(described(error)) from error
    if not isinstance(answer, Answer):
        raise pickle.UnpicklingError(f"a `{type(answer).__name__}`")
    return answer


_PLAIN: Final[tuple[type[Any], ...]] = (int, float, str, bytes, tuple, list, dict)
_NUMBERS: Final[dict[type[Any], type[Any]]] = {numbers.Integral: int, numbers.Real: float}
"""Numpy's numbers are among the first, without being of a class of Python's."""


def _record(kind: type[msgspec.Struct], values: dict[str, Any]) -> msgspec.Struct:
    return kind(**values)


class _Pickler(pickle.Pickler):
    """Takes a number or a text of a class of the model's own, or of numpy's, for a plain one."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, (type, enum.Enum)):
            return NotImplemented
        if isinstance(value, msgspec.Struct):
            return _record, (type(value), msgspec.structs.asdict(value))
        for kind, plain in (_NUMBERS | {plain: plain for plain in _PLAIN}).items():
            if isinstance(value, kind):
                return plain, (plain(value),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" or module.startswith("bnlint."):
            found = super().find_class(module, name)
            own = isinstance(found, type) and found.__module__ == module
            if found is _record or (own and (module != "builtins" or found in _PLAIN)):
                return found
        raise pickle.UnpicklingError(f"`{module}.{name}` is no part of an answer")
