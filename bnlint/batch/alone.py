"""One question in a process of its own: whatever the code of a model does there, the process that asks lives on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bnlint.batch.messages import Done, Raised
from bnlint.batch.process import Worker, orders_of
from bnlint.errors import NotAnalysedError


def run_alone(
    function: str,
    question: Mapping[str, Any],
    *,
    name: str,
    progress: Callable[[str], None],
    limit: float | None = None,
    debug: bool = False,
) -> Any:
    """Call a function in a new process, in which the code of a model may run.

    Args:
        function: The function, as `package.module:name`.
        question: Its arguments; it gets a `progress` beside them.
        name: What the user called the model.
        progress: Is told which stage begins.
        limit: Seconds that it may take; as long as it takes by default.
        debug: Whether the traceback of a failure goes to stderr.

    Returns:
        What the function returns: records of bnlint, numbers and texts.

    Raises:
        BnlintError: What the function raised.
        InternalError: It raised something else.
        NotAnalysedError: The process ended without an answer, or was given up.
    """
    worker = Worker(orders_of(function, {}, debug=debug))
    try:
        answer = worker.ask(question, limit=limit, say=progress)
    finally:
        worker.end()
        worker.close()
    if isinstance(answer, Done):
        return answer.result
    if isinstance(answer, Raised):
        raise answer.error(name)
    raise NotAnalysedError(f"`{name}` {answer.reason}.", answer.hint)
