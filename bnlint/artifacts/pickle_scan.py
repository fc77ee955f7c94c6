"""What a pickle would import, read from its opcodes; nothing is unpickled."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from bnlint.artifacts.sniff import BAD_ZIP, Kind, inner_name

_LEGACY_PREAMBLE: Final = 3
"""A legacy file begins with the pickles of a magic number, a version and the byte sizes of the machine."""

_TENSOR_MODULES: Final = frozenset(
    {"_codecs", "collections", "torch", "torch._tensor", "torch._utils", "torch.nn.parameter", "torch.storage"}
)
"""Where the names that tensors, their storages and their containers need come from."""


def first_foreign_name(path: Path, kind: Kind) -> str | None:
    """The first class or function that a pickle needs beyond tensors and their containers.

    Args:
        path: The file.
        kind: Its format: a zip or legacy file of `torch.save`, or a plain pickle.

    Returns:
        The dotted name; for a pickled module it is the class of the root module. `None` where there is none.

    Raises:
        ValueError: The pickle is cut short or damaged.
    """
    if kind is Kind.TORCH_ZIP:
        return _first_foreign_in_zip(path)
    with path.open("rb") as stream:
        for _ in range(_LEGACY_PREAMBLE if kind is Kind.TORCH_LEGACY else 0):
            for _opcode in pickletools.genops(stream):
                pass
        return _first_foreign(stream)


def _first_foreign_in_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if inner_name(name) == "data.pkl")
            with archive.open(member) as stream:
                return _first_foreign(stream)
    except BAD_ZIP as error:
        raise ValueError(str(error)) from error


def _first_foreign(stream: IO[bytes]) -> str | None:
    return next((name for name in _names(stream) if name.rpartition(".")[0] not in _TENSOR_MODULES), None)


def _names(stream: IO[bytes]) -> Iterator[str]:
    """The dotted names in the order in which the pickle asks for them."""
    memo: list[str | None] = []
    last: str | None = None
    before: str | None = None
    for opcode, argument, _position in pickletools.genops(stream):
        match opcode.name:
            case "GLOBAL":
                yield str(argument).replace(" ", ".")
            case "STACK_GLOBAL":
                yield f"{before}.{last}"
                last, before = None, None
            case "MEMOIZE":
                memo.append(last)
            case "BINGET" | "LONG_BINGET" if isinstance(argument, int) and argument < len(memo):
                last, before = memo[argument], last
            case "PROTO" | "FRAME":
                pass
            case _:
                last, before = argument if isinstance(argument, str) else None, last
