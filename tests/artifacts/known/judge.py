"""Makes live models of files as bnlint does, under a hook that forbids whatever a file could do; run as a script."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import torch
from torch import nn

from bnlint.artifacts.inert.archive import open_zip
from bnlint.artifacts.inert.contents import contents
from bnlint.artifacts.known.model import live_model
from bnlint.artifacts.known.packages import NEURAL_NETWORKS
from bnlint.artifacts.saved import of_contents
from tests.artifacts.inert.judge import FORBIDDEN, ForbiddenError


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise ForbiddenError(f"{event} {arguments[0]}")
    if event.startswith(FORBIDDEN):
        raise ForbiddenError(f"{event} {arguments}")


def verdict(path: str) -> str:
    found = contents(open_zip(Path(path)), (NEURAL_NETWORKS,))
    model, why = live_model(of_contents(found, Path(path), "model.pt"), ())
    if model is None:
        return why
    model.eval()
    return f"made a {type(model).__name__} of {len(model.state_dict())} tensors"


if __name__ == "__main__":
    cases = json.load(io.TextIOWrapper(sys.stdin.buffer))
    benign = Path(cases[0]).with_name("benign.pt")
    torch.save(nn.Sequential(nn.Linear(2, 2)), benign)
    verdict(str(benign))  # what is imported on the way is imported now
    for codec in ("cp437", "utf-8", "ascii", "latin-1", "raw-unicode-escape"):  # of names in archives and pickles
        "".encode(codec)
    sys.addaudithook(hook)
    sys.stdout.write(json.dumps([verdict(path) for path in cases]))
