"""What holds around all that bnlint does with a live model: the way in, and the way out."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from bnlint.artifacts.user_code import described
from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.interruption import interruptions_watched, is_interruption
from bnlint.memory import COLLECT_AFTER
from bnlint.tracing.failure import is_of_the_model, where
from bnlint.tracing.process_state import state_kept


@contextlib.contextmanager
def answering_for_a_model(what: str) -> Iterator[None]:
    """A block in which code of a model may run, and no exception that leaves it is the model's.

    Args:
        what: What is done with the model, for the sentence that says that it cannot be.

    Raises:
        NotAnalysedError: Instead of an exception that the model's own code has raised where none was expected: in the
            methods that every module has, or when an attribute is read.
    """
    with interruptions_watched():
        try:
            yield
        except BnlintError:
            raise
        except BaseException as error:
            if is_interruption(error) or not is_of_the_model(error):
                raise
            line = where(error)
            raise NotAnalysedError(
                f"The model cannot be {what}: {described(error)}{line and f', at {line}'}."
            ) from error


@contextlib.contextmanager
def looking_at_a_model(what: str = "looked at") -> Iterator[None]:
    """The same for all that is done with a model: the process is as before afterwards, too."""
    with state_kept(), answering_for_a_model(what):
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])  # put back with the rest
        yield
