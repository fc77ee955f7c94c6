"""Why not."""

from __future__ import annotations

from typing import Final

TRAINING_MODE: Final = "it is in training mode: call model.eval()"
"""Of a layer that `fold` refuses to begin with."""

EXPORTED_IN_TRAINING_MODE: Final = "the program was exported in training mode"
"""The same of a call in a program."""


OF_A_GRAPH: Final = "it is an operator in a graph without layers: fold the model, or the program, that it was made from"
"""Of a call in a live graph, such as `ExportedProgram.module()`."""


class CannotFoldError(Exception):
    """A pattern does not apply.

    Args:
        template: The reason in words that a user can act on, with `{}` for each name.
        names: The names: paths of layers, operators.

    Attributes:
        cause: The reason without the names, the same for all layers that stay for it.
    """

    def __init__(self, template: str, *names: object) -> None:
        super().__init__(template.format(*names))
        self.cause = template.format(*("…" for _ in names))

    def and_also(self, other: CannotFoldError) -> CannotFoldError:
        """Both reasons."""
        both = CannotFoldError("{}, and {}", self, other)
        both.cause = f"{self.cause}, and {other.cause}"
        return both
