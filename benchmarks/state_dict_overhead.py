"""Prints what `bnlint check` on a resnet50 state_dict costs, as a multiple of importing torch and loading the file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import interleaved_medians, print_ratios
from tests import torchvision_ops  # noqa: F401  (before torchvision)
from tests.models import with_plausible_statistics

ROUNDS = 5


def main() -> None:
    """Saves a resnet50 state_dict, times both commands and prints one line for each."""
    from torchvision.models import resnet50

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "resnet50.pth")
        torch.save(with_plausible_statistics(resnet50()).state_dict(), path)
        load = "import sys, torch; torch.load(sys.argv[1], weights_only=True)"
        commands = {
            "import torch; torch.load": [sys.executable, "-c", load, path],
            "bnlint check resnet50.pth": [sys.executable, "-m", "bnlint", "check", path],
        }
        print(f"resnet50 state_dict, medians of {ROUNDS} runs in turns:")
        print_ratios(interleaved_medians(commands, ROUNDS), base="import torch; torch.load")


if __name__ == "__main__":
    main()
