"""Modules of the current folder: found where the user names one, and by one another; by nobody else.

The folder is not on `sys.path`. There, an optional import anywhere in an installed package, such as that of `triton` in
torch, would run a file of that name that lies beside a model.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_MACHINERY: Final = frozenset({"importlib", "pkgutil"})
"""Packages that import for whoever calls them: `importlib.import_module` in a file of the folder is its own import."""


@contextlib.contextmanager
def admitting(*modules: str) -> Iterator[None]:
    """Let imports in a block find modules of the current folder, if they are of names that the user gave.

    What is found may import its neighbours, also later, when it runs. Whatever is installed comes first: a `timeit.py`
    in the folder does not stand in for a module of that name.

    Args:
        modules: Dotted names of modules; the first part of each is the module or package in the folder.
    """
    folder = current_folder()
    if folder is None:
        yield
        return
    finder = _FINDERS.setdefault(folder, _Finder(folder))
    with finder.admitting({name.partition(".")[0] for name in modules}):
        yield


def modules_here() -> list[str]:
    """Names of the modules and packages in the current folder; none of them is imported."""
    folder = current_folder()
    return [] if folder is None else [module.name for module in pkgutil.iter_modules([folder])]


def withheld(error: BaseException) -> str:
    """What to do about an import that failed since code from elsewhere was not given a module of the current folder.

    Args:
        error: What was raised.

    Returns:
        A hint; empty for every other error.
    """
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    if absent not in modules_here():
        return ""
    return (
        f"`{absent}` lies in this folder, which only the modules that you name, and what they import, can see:"
        " set `PYTHONPATH=.` if you trust all of it."
    )


class _Finder:
    """Finds modules of one folder, as if it were the last on `sys.path`, for the few imports that may.

    Args:
        folder: Its absolute path.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._admitted: Counter[str] = Counter()
        self._found: set[str] = set()

    @contextlib.contextmanager
    def admitting(self, names: Iterable[str]) -> Iterator[None]:
        """Find modules and packages of these names, whoever imports them, in a block."""
        names = tuple(names)
        self._admitted.update(names)
        if self not in sys.meta_path:
            # Before the others: to them a namespace package that is installed is all that there is of its name.
            sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            self._admitted.subtract(names)
            if not self._found and not +self._admitted:
                with contextlib.suppress(ValueError):  # somebody else may have taken it off
                    sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module; the modules of a package are found by its own path."""
        if path is not None or not (self._admitted[name] > 0 or self._is_own(_importer())):
            return None
        installed = self._installed(name, target)
        if installed is not None and not _is_namespace(installed):
            return installed
        here = PathFinder.find_spec(name, [self._folder])
        if here is None:
            return installed
        self._found.add(name)
        if installed is None or not _is_namespace(here):
            return here
        return PathFinder.find_spec(name, [*sys.path, self._folder])

    def _installed(self, name: str, target: ModuleType | None) -> ModuleSpec | None:
        others = (
            finder for finder in sys.meta_path if not isinstance(finder, _Finder) and hasattr(finder, "find_spec")
        )
        return next((found for finder in others if (found := finder.find_spec(name, None, target)) is not None), None)

    def _is_own(self, importer: Mapping[str, Any]) -> bool:
        """Whether code that imports was found here; by its file too, as parts of a namespace may be installed."""
        top, file = str(importer.get("__name__")).partition(".")[0], importer.get("__file__")
        return top in self._found and isinstance(file, str) and file.startswith(os.path.join(self._folder, ""))  # noqa: PTH118


_FINDERS: Final[dict[str, _Finder]] = {}


def current_folder() -> str | None:
    """The absolute path of the current folder; `None` where it was removed."""
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.loader is None


def _importer() -> Mapping[str, Any]:
    """The globals of the code whose import is being looked for."""
    frame = sys._getframe(2)
    while str(frame.f_globals.get("__name__")).partition(".")[0] in _MACHINERY and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_globals
