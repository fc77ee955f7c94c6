"""What a Python process that bnlint starts runs, and where it looks for modules: never in the current folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_HOME: Final = str(Path(__file__).parents[2])
"""The folder that bnlint itself was found in; it may be the current one, and then it is on no path."""

_PROGRAM: Final = """
import sys
sys.path[:] = [*{path!r}, {home!r}]
import bnlint
sys.path.pop()
from {module} import main
main()
"""


def program(module: str) -> str:
    """The text for `python -c` that runs the `main` of a module of bnlint.

    The process looks for modules where this one does; where that is the current folder, as in a Python session, a file
    of the user in it may have the name of any module, and it is left out.

    Args:
        module: Its dotted name.
    """
    path = [entry for entry in sys.path if entry]
    return _PROGRAM.format(path=path, home=_HOME, module=module)
