"""What a Python process that bnlint starts runs, and where it looks for modules: never in the current folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_HOME: Final = str(Path(__file__).parents[2])
"""The folder that bnlint itself was found in; it may be the current one, which is on no path."""

# `import bnlint` imports nothing but `importlib`, so that nothing else of its folder can come in.
_PROGRAM: Final = """
import importlib, sys
sys.path[:] = [{home!r}, *{path!r}]
import bnlint
del sys.path[0]
from {module} import main
main()
"""


def program(module: str) -> str:
    """The text for `python -c` that runs the `main` of a module of bnlint.

    The process finds this bnlint, and looks for all other modules where this process does. Where that is the current
    folder, as in a Python session, it is left out: a file of the user in it may have the name of any module.

    Args:
        module: Its dotted name.
    """
    path = [entry for entry in sys.path if entry]
    return _PROGRAM.format(path=path, home=_HOME, module=module)
