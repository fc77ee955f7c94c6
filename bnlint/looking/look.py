"""What a look needs, and what it sees."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Final

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.missing import missing_file
from bnlint.checking.options import CheckOptions
from bnlint.errors import UsageError
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.opening import is_meant
from bnlint.report import Coverage

DATA_BATCHES: Final = 16
"""Batches of real inputs that are looked at unless the user says otherwise."""


def check_data(data: object, batches: int | None) -> None:
    """Refuse real inputs that cannot be had, before anything else takes time.

    Args:
        data: Real inputs, as given.
        batches: How many batches of them, as given.

    Raises:
        UsageError: If a number of batches is given that is below 1, or without data, or if there is no such file.
    """
    if isinstance(data, (str, os.PathLike)) and not is_meant(data):
        raise missing_file(os.fspath(data))
    if batches is None:
        return
    if batches < 1:
        raise UsageError(f"The number of data batches is {batches}, but at least one is needed.")
    if data is None:
        raise UsageError("A number of data batches is given, and no data.", "Give `--data FILE`, or `data` in Python.")


@dataclass(frozen=True)
class Seen:
    """What was seen.

    Attributes:
        table: The facts.
        coverage: What could be looked at.
        failed: What the user asked for by name and could not be done, a sentence each.
    """

    table: FactTable
    coverage: Coverage
    failed: tuple[str, ...] = ()


def kinds_of(table: FactTable) -> dict[str, int]:
    """Number of layers of each kind, `unknown` among them."""
    layers = {facts.layer: facts.kind.value if facts.kind is UNKNOWN else facts.kind for facts in table.norms}
    return dict(sorted(Counter(layers.values()).items()))


def nothing_to_run(options: CheckOptions, table: FactTable) -> tuple[str, ...]:
    """What to say where the user asks for a run and the target holds no code that may run.

    Args:
        options: What the user asks for.
        table: The facts of the target, with what would let it run.
    """
    asked = {"run": bool(options.run), "padding": bool(options.padding), "data": options.data is not None}
    flags = "` and `--".join(name for name, given in asked.items() if given)
    if not flags:
        return ()
    need = Need.CODE if Need.MODULE in table.available else Need.MODULE
    return (f"There is no model to run for `--{flags}`: {table.advice.get(need, need.value)}.",)


def unused_input(artifact: Artifact, options: CheckOptions) -> tuple[str, ...]:
    """A note for the report where the user gives an input and nothing is called with it.

    Args:
        artifact: The target.
        options: What the user asks for.
    """
    if options.inputs is None or artifact.module is not None:
        return ()
    if artifact.saved is None:
        return ("The input was not used: a program keeps the sizes that it was exported with.",)
    return ("The input was not used: nothing in a file that is read as data is called.",)


def model_name(artifact: Artifact) -> str:
    """Class of the model; empty where the target holds none."""
    if artifact.module is not None:
        return type(artifact.module).__name__
    modules = artifact.saved.modules if artifact.saved is not None else ()
    return modules[0].class_name if modules else ""
