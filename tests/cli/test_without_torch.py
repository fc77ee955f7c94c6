"""Files that are read as data are checked without torch, which takes seconds to import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models import ConvNet, with_plausible_statistics

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "import sys\nfrom bnlint.cli.main import main\n"
    "try:\n    main()\nexcept SystemExit as ended:\n    sys.exit(77 if 'torch' in sys.modules else ended.code)"
)


def model() -> nn.Module:
    network = with_plausible_statistics(ConvNet()).eval()
    network.bn2.running_var[0] = -1.0
    return network


def write(form: str, folder: Path) -> Path:
    path = folder / "model"
    if form == "safetensors":
        save_file(model().state_dict(), path)
    elif form == "half precision":
        torch.save(model().bfloat16().state_dict(), path)
    elif form == "older form":
        torch.save({"model": model().state_dict()}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(model() if form == "whole model" else model().state_dict(), path)
    return path


@pytest.mark.parametrize("form", ["safetensors", "state_dict", "half precision", "older form", "whole model"])
@pytest.mark.parametrize("command", ["check", "inspect"])
def test_a_file_is_read_without_torch(command: str, form: str, tmp_path: Path) -> None:
    arguments = [command, str(write(form, tmp_path)), *(["--format", "json"] if command == "check" else [])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if command == "check" else 0), done.stderr
    assert ("BN503" if command == "check" else "negative_variances") in done.stdout
