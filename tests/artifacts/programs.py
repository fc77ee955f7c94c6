"""Makes files of torch.export, and changes what is in them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._export.serde.schema import SCHEMA_VERSION
from torch._export.serde.serialize import serialize

Edit = bytes | Callable[[bytes], bytes] | None
"""New bytes of a member, what makes them of the old ones, or `None` for a member that is left out."""

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"


def save(model: nn.Module, inputs: tuple[Any, ...], path: Path, **options: Any) -> Path:
    """Exports a model in the mode that it is in."""
    torch.export.save(torch.export.export(model, inputs, **options), path)
    return path


def save_as_before(program: torch.export.ExportedProgram, path: Path) -> Path:
    """Saves a program in the form of torch 2.7 and older, with all weights in one pickle."""
    parts = serialize(program)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
        archive.writestr("serialized_exported_program.json", parts.exported_program)
        archive.writestr("serialized_state_dict.pt", parts.state_dict)
        archive.writestr("serialized_constants.pt", parts.constants)
        archive.writestr("serialized_example_inputs.pt", parts.example_inputs)
    return path


def edited(source: Path, target: Path, edits: Mapping[str, Edit], compression: int = zipfile.ZIP_STORED) -> Path:
    """Copies an archive with some members changed, left out or added."""
    left = dict(edits)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for member in old.namelist():
            folder, _, name = member.partition("/")
            edit: Edit = left.pop(name, old.read(member))
            if edit is not None:
                new.writestr(member, edit(old.read(member)) if callable(edit) else edit)
        for name, edit in left.items():
            assert isinstance(edit, bytes)
            new.writestr(f"{folder}/{name}", edit)
    return target


def json_edit(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """An edit of JSON: the function changes the document in place."""

    def edit(text: bytes) -> bytes:
        document = json.loads(text)
        change(document)
        return json.dumps(document).encode()

    return edit
