"""The graph of an exported program in a file, read without torch's own loader: nothing of the file is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bnlint.artifacts.lazy_tensors import LazyTensors
from bnlint.artifacts.program_archive import SavedProgram
from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.tracing.contradictions import of_program
from bnlint.tracing.exported import trace_of_graph
from bnlint.tracing.saved_graph import BadGraphError, build_graph
from bnlint.tracing.trace import Trace


def trace_program(program: SavedProgram) -> Trace:
    """Read the graph of an exported program in a file.

    Args:
        program: The program as data.

    Returns:
        The trace that `trace_exported` gives for the loaded program. Operators that are not registered in this
        process have the role `UNKNOWN`; lines of source have no text, since a file may name any other file.

    Raises:
        NotAnalysedError: The graph contradicts itself.
    """
    with looking_into(program.name, lambda: of_program(program)):
        return trace_of_graph(build_graph(program.graph_module), LazyTensors(program.tensors))


@contextmanager
def looking_into(name: str, contradiction: Callable[[], str]) -> Iterator[None]:
    """A block that works on a graph from a file, which may be wrong in any way.

    Args:
        name: What the user called the file.
        contradiction: Says what is wrong with the graph; it is asked only where the block fails.

    Raises:
        NotAnalysedError: In place of what is raised in the block, where the graph is the reason. What it does not
            explain is a mistake of bnlint's own, and is raised as it is.
    """
    try:
        yield
    except BnlintError:
        raise
    except Exception as error:
        problem = str(error) if isinstance(error, BadGraphError) else contradiction()
        if not problem:
            raise
        cause = f"`{name}` is damaged: its graph contradicts itself: {problem}."
        raise NotAnalysedError(cause, "Export the model again.") from error
