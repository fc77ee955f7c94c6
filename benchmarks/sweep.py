"""What the sweeps over public models share: their arguments, their progress and what becomes of their rows."""

from __future__ import annotations

import argparse
import gc
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import torch


class Named(Protocol):
    """A row of a sweep."""

    @property
    def name(self) -> str:
        """Name of the model within its package."""

    @property
    def family(self) -> str:
        """Module of the package that defines it."""


RowT = TypeVar("RowT", bound=Named)


def arguments_of(program: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser for the arguments that all sweeps take: a shell pattern of model names, and the page to write.

    Args:
        program: Name of the module, as after `python -m`.
        doc: Its docstring; the first line is the description.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=(doc or "").splitlines()[0])
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern of model names")
    parser.add_argument("--write", type=Path, help="markdown file for the page")
    return parser


def sweep(
    rows: Iterable[RowT | None],
    arguments: argparse.Namespace,
    summary: Callable[[Sequence[RowT]], Sequence[str]],
    page: Callable[[Sequence[RowT]], str],
) -> list[RowT]:
    """Measure one model after the other, print the summary, and write the page where asked.

    Args:
        rows: Measures a model each time it is asked for the next row; `None` for one that does not count.
        arguments: What `arguments_of` parsed.
        summary: Lines for the terminal.
        page: The page for keeps.

    Returns:
        The rows. The process ends if there are none.
    """
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # nothing is computed on meta tensors; a fallback on real ones should not crowd others
    found = list(_with_progress(rows))
    if not found:
        sys.exit(f"No model fits {arguments.pattern!r}.")
    print("\n".join(summary(found)))
    if arguments.write is not None:
        arguments.write.write_text(page(found), encoding="utf-8")
    return found


def _with_progress(rows: Iterable[RowT | None]) -> Iterator[RowT]:
    for row in rows:
        gc.collect()
        if row is None:
            continue
        if sys.stderr.isatty():
            print(f"\r\x1b[K{row.family}: {row.name}", end="", file=sys.stderr, flush=True)
        yield row
