"""Reads files as bnlint does, in a process where importing, running and writing are forbidden."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from bnlint.artifacts.inert.child import Form, Request, answer_of, reader_of
from bnlint.artifacts.inert.contents import Contents
from bnlint.artifacts.inert.directory import Directory
from bnlint.artifacts.inert.onnx_contents import OnnxContents
from bnlint.artifacts.inert.program import ProgramContents
from bnlint.artifacts.inert.regions import OutsideFileError, read_values
from bnlint.artifacts.inert.script import Script
from bnlint.artifacts.known.packages import NEURAL_NETWORKS
from bnlint.artifacts.safetensors_header import describe, read_header
from bnlint.artifacts.weight_folders import listed_files, listed_in
from bnlint.errors import NotAnalysedError
from tests.artifacts.forbidden import forbid, warm_up

ROOT = Path(__file__).parents[2]
LIVE = "live"
"""Beside the forms of `child.Form`: a file of `torch.save` of which a model of known code is made."""

IN_THE_PARENT: dict[str, Callable[[Path, str], object]] = {
    "safetensors": read_header, "index": listed_files,
}  # fmt: skip
RESULTS = {"directory": Directory, "torchscript": Script, "program": ProgramContents, "onnx": OnnxContents}


def judge(cases: Sequence[tuple[str, Path]]) -> list[str]:
    """What comes of files, each told with its form.

    Returns:
        For each file `read: ` and what its own loader would call, `refused: ` or `outside: ` and why; for the form
        `live` what was made, or why nothing was.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.artifacts.judge"],
        input=json.dumps([(form, str(path)) for form, path in cases]),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def _read(form: str, path: Path) -> str:
    if form not in get_args(Form):
        return _read_here(form, path)
    request = msgspec.convert({"form": form, "path": os.fsencode(path)}, Request)
    answer = answer_of(reader_of(request.form), request)
    if answer.complaint:
        return f"refused: {answer.complaint}"
    found = msgspec.msgpack.decode(answer.found, type=RESULTS.get(form, Contents))
    if isinstance(found, Contents) and form != "package":
        try:
            _read_tensors(path, found)
        except OutsideFileError as error:
            return f"outside: {error}"
    return f"read: {', '.join(getattr(found, 'called', ()))}"


def _read_here(form: str, path: Path) -> str:
    """As the process that writes the report does: these forms are not read in a process of their own."""
    try:
        found = IN_THE_PARENT[form](path, path.name)
    except NotAnalysedError as error:
        return f"refused: {error.cause}"
    return f"read: {', '.join(getattr(found, 'called', ()))}"


def _read_tensors(path: Path, found: Contents) -> None:
    for entry in found.entries:
        tensors = [*entry.tensors.values(), *(t for module in entry.modules for t in module.tensors.values())]
        for tensor in tensors:
            if tensor.storage in found.regions:
                read_values(path, tensor, found.regions[tensor.storage], found.little_endian)


def _make(path: Path) -> str:
    from bnlint.artifacts.known.model import live_model
    from bnlint.artifacts.saved import of_contents

    request = Request("zip", os.fsencode(path), known=(NEURAL_NETWORKS,))
    found = msgspec.msgpack.decode(answer_of(reader_of("zip"), request).found, type=Contents)
    model, why = live_model(of_contents(found, path, "model.pt"), ())
    if model is None:
        return why
    model.eval()
    return f"made a {type(model).__name__} of {len(model.state_dict())} tensors"


def _benign(folder: Path) -> Path:
    """A file of known code, of which a model is made before anything is forbidden: torch imports on the way."""
    import torch
    from torch import nn

    torch.save(nn.Sequential(nn.Linear(2, 2)), folder / "benign.pt")
    return folder / "benign.pt"


def _main() -> None:
    cases = json.load(io.TextIOWrapper(sys.stdin.buffer))
    if any(form == LIVE for form, _ in cases):
        _make(_benign(Path(cases[0][1]).parent))
    for form in get_args(Form):
        reader_of(form)
    list(describe(io.BytesIO(bytes([2, 0, 0, 0, 0, 0, 0, 0]) + b"{}")))
    listed_in(io.BytesIO(b'{"weight_map":{}}'), "index")
    warm_up()
    forbid()
    answers = [_make(Path(path)) if form == LIVE else _read(form, Path(path)) for form, path in cases]
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    _main()
