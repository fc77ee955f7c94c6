"""What the loader of a pickled file would call, sorted by how much it could do; bnlint itself calls none of it.

This is no malware scanner: a name that looks harmless can be made to do harm, and the lists here are not complete.
Reading is safe because nothing is run, whatever these lists say.
"""

from __future__ import annotations

from typing import TypedDict

from bnlint.artifacts.powerful import Danger, danger_of
from bnlint.artifacts.saved import Saved


class FileCallFacts(TypedDict):
    """The fields of `ModelFacts` that come from the names in a file."""

    calls_on_loading: frozenset[str]
    powerful_calls: frozenset[str]
    foreign_calls: frozenset[str]


def file_calls(*files: Saved | None) -> FileCallFacts:
    """Sort what the loader of a file would call.

    Args:
        files: The file, and the one whose weights were loaded into the model; `None` for each that there is not.

    Returns:
        `calls_on_loading`, all names; of these `powerful_calls`, which can run commands or code, write files or reach
        the network, and `foreign_calls`, those outside the packages that models are usually made of, and that are no
        class of a module of the model itself.
    """
    read = [saved for saved in files if saved is not None]
    called = frozenset(name for saved in read for name in saved.called)
    others = {name: danger_of(name) for name in called.difference(*(saved.classes for saved in read))}
    powerful = frozenset(name for name, danger in others.items() if danger < Danger.UNKNOWN)
    foreign = frozenset(name for name, danger in others.items() if danger is Danger.UNKNOWN)
    return FileCallFacts(calls_on_loading=called, powerful_calls=powerful, foreign_calls=foreign)
