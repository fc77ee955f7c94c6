"""Memory that is short, as under `ulimit -v`: a sentence instead of a library that ends the process, or its message."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.text import text_of

if sys.platform != "win32":
    import resource

COLLECT_AFTER: Final = 50_000
"""New objects after which Python looks for cycles among them.

A command, or a look at a live model, makes some ten thousand objects that live as long as it does. By Python's own 700
they would be gone through a hundred times: a tenth of the time of `bnlint check` on a state_dict, and half of that of a
check of a live model, beside all that the user holds.
"""

_IN_IMPORTS: Final = ("failed to map segment", "cannot allocate memory", "cannot create shared object descriptor")
"""What the loader of shared libraries says, in lower case; NumPy quotes it."""

_IN_OTHERS: Final = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "can't start new thread",
    "out of memory",
)
"""What torch and Python say where they raise a `RuntimeError`, in lower case."""

_DEEPEST: Final = 32

_BESIDE_LIBRARIES: Final = {"numpy": 64 << 20, "torch": 128 << 20}
"""Address space that importing a package takes beside its libraries, with the least that bnlint does with it."""

_THREADS: Final = "OPENBLAS_NUM_THREADS"


def shortage(error: BaseException) -> NotAnalysedError | None:
    """The error for memory that is short, if an exception, or what it was raised for, says so.

    Args:
        error: What was raised.
    """
    said = _said(error)
    if said is None:
        return None
    if isinstance(error, BnlintError):  # it says what could not be done
        return NotAnalysedError(error.cause, f"Memory is short. {remedy()}")
    return NotAnalysedError(f"Memory is short: {said}.", remedy())


def _said(error: BaseException) -> str | None:
    link: BaseException | None = error
    for _ in range(_DEEPEST):
        if link is None:
            break
        if _is_shortage(link):
            lines = text_of(link).strip().splitlines()  # NumPy quotes the loader in its last line
            return lines[-1].strip().rstrip(".") if lines else type(link).__name__
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


def remedy() -> str:
    """What can be done about it; the limit of this process is named, where there is one."""
    limit = _limit()
    if limit is None:
        return "Close other programs, or use a machine with more memory."
    return f"Raise the limit: `ulimit -v` is {limit >> 10}, in kilobytes."


def may_be_shortage(code: int) -> bool:
    """Whether a process may have ended for want of memory: killed, aborted, or at an address that was not to be had.

    Args:
        code: Its exit code, or the negative number of the signal that ended it.
    """
    return code in (-9, -6, -11, -7, 127, 134, 137, 139) or (code > 0 and _limit() is not None)


def watch_imports() -> None:
    """Under a limit on memory, see before the largest imports whether there is room for them.

    NumPy's and torch's libraries end the process where there is not. Without a limit this does nothing.
    """
    if _limit() is not None and not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        os.environ.setdefault(_THREADS, "1")  # each of OpenBLAS's threads takes 40 MB, and it ends the process without
        sys.meta_path.insert(0, _Watch())


class _Watch:
    """Finds nothing, but raises `MemoryError` where a package is too large."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        if path is None and name in _BESIDE_LIBRARIES:
            size = _size_of_libraries(name) + _BESIDE_LIBRARIES[name]
            try:
                mmap.mmap(-1, size).close()
            except (OSError, ValueError, OverflowError):
                raise MemoryError(f"importing {name} takes {size >> 20} MB") from None
        return None


def _size_of_libraries(name: str) -> int:
    """Bytes of the shared libraries of a package, which is not imported."""
    spec = PathFinder.find_spec(name)
    if spec is None or not spec.origin:
        return 0
    package = Path(spec.origin).parent
    folders = (package / "lib", package.parent / f"{name}.libs")
    return sum(file.stat().st_size for folder in folders for file in folder.glob("*.so*"))


def _limit() -> int | None:
    """Bytes of address space that this process may take; `None` for any number."""
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _is_shortage(error: BaseException) -> bool:
    said = text_of(error).lower()
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, ImportError):
        return any(words in said for words in _IN_IMPORTS)
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in said for words in _IN_OTHERS)
