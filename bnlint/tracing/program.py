"""The graph of an exported program in a file, read without torch's own loader: nothing of the file is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bnlint.artifacts.lazy_tensors import LazyTensors
from bnlint.artifacts.program_archive import SavedProgram
from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.tracing.exported import trace_of_graph
from bnlint.tracing.saved_graph import build_graph
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
    with looking_into(program.name):
        return trace_of_graph(build_graph(program.graph_module), LazyTensors(program.tensors))


@contextmanager
def looking_into(name: str) -> Iterator[None]:
    """A block that works on a graph from a file, which may be wrong in any way.

    Args:
        name: What the user called the file.

    Raises:
        NotAnalysedError: In place of whatever is raised in the block.
    """
    try:
        yield
    except BnlintError:
        raise
    except Exception as error:
        cause = f"`{name}` is damaged: its graph contradicts itself ({type(error).__name__}: {error})."
        raise NotAnalysedError(cause, "Export the model again.") from error
