"""Files of `torch.export.save`, read as what they are: a zip archive with the graph as JSON and the weights beside it.

`torch.export.load` is not used, which unpickles the example inputs and runs the guards; neither is looked at here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bnlint.artifacts.inert.program import ProgramContents, Weights
from bnlint.artifacts.inert.sandbox import ask_child
from bnlint.artifacts.program_schema import GraphModule
from bnlint.artifacts.program_tensors import described_tensors, pickled_tensors, tensors_of
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import NotAnalysedError


@dataclass(frozen=True)
class SavedProgram:
    """An exported program as it lies in its file.

    Attributes:
        name: What the user called the file.
        graph_module: The graph, and what its inputs are.
        tensors: Parameters, buffers and constants by name, in the order of the graph's inputs.
        notes: Remarks for the report.
    """

    name: str
    graph_module: GraphModule
    tensors: Mapping[str, StoredTensor]
    notes: tuple[str, ...] = ()


def read_program(path: Path, name: str) -> SavedProgram:
    """Read an exported program as data; nothing in the file is run, and torch is not needed.

    Each weight is a member of raw bytes in what torch writes today. In files of older releases all weights are one
    pickle, which is read as `read_inert` reads those of `torch.save`.

    Args:
        path: The file.
        name: What the user called it.

    Raises:
        NotAnalysedError: The file is damaged, holds several programs, or is of a version that bnlint does not know.
    """
    found = ask_child("program", path, name, ProgramContents)
    program = found.graph_module
    if program is None:
        listed = ", ".join(f"`{model}`" for model in found.models)
        raise NotAnalysedError(f"`{name}` holds several programs: {listed}.", "Save each in a file of its own.")
    stored: dict[str, StoredTensor] = {}
    for weights in found.weights:
        stored |= _stored(weights, path, name)
    notes = []
    if found.byte_order != sys.byteorder:
        stored = {tensor: msgspec.structs.replace(weight, region=None) for tensor, weight in stored.items()}
        notes.append("The file is in the byte order of another machine: the values of its weights were not read.")
    return SavedProgram(name, program, described_tensors(program, path, name) | stored, tuple(notes))


def _stored(weights: Weights, path: Path, name: str) -> dict[str, StoredTensor]:
    if weights.payloads is not None:
        return tensors_of(weights.payloads, weights.regions, path, name)
    return {} if weights.pickled is None else pickled_tensors(weights.pickled, path, name)
