"""Measures `bnlint check` on large files beside `torch.load`: time, bytes read, memory, and how they grow.

python -m benchmarks.saved_files                                            # files of 2 GB, made and removed
python -m benchmarks.saved_files --size 100000000 --rounds 3                # smaller
python -m benchmarks.saved_files --write benchmarks/results/saved_files.md  # the page for keeps
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import bnlint
from benchmarks.resident import BNLINT_AND_PEAKS, peaks
from benchmarks.saved_files_made import BYTES_OF_A_NORM, FORMS, classes, write
from benchmarks.saved_files_page import Growth, Measured, page, tables
from benchmarks.timing import interleaved_medians
from tests.bytes_read import COUNTER, bytes_read

SIZE: Final = 2_000_000_000
LAYERS: Final = 100
SMALLER: Final = (100, 10)
"""Of which parts of the size time is measured as well."""

MORE_LAYERS: Final = (100, 200, 400, 800, 1600)
ROUNDS: Final = 9

_LOAD: Final = "import sys; sys.path.append(sys.argv[2]); import torch; torch.load(sys.argv[1], mmap=True{how})"


def check(path: Path) -> list[str]:
    """The command that is measured."""
    return [sys.executable, "-m", "bnlint", *_arguments(path)]


def load(form: str, path: Path, state_dict: Path) -> list[str]:
    """What it is measured beside; torch loads no safetensors file, for which the same weights in a state_dict stand."""
    how = ", weights_only=False" if form == "whole model" else ""
    file = state_dict if form == "safetensors" else path
    return [sys.executable, "-c", _LOAD.format(how=how), str(file), str(classes(path.parent))]


def memory(path: Path) -> tuple[int, int]:
    """Peak resident memory of the process that reports, and of the largest that it starts, in bytes."""
    command = [sys.executable, "-c", BNLINT_AND_PEAKS, *_arguments(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return peaks(done.stdout)


def _arguments(path: Path) -> list[str]:
    return ["check", str(path), "--no-config", "--fail-on", "never"]


def measure(folder: Path, size: int, rounds: int) -> list[Measured]:
    """Time, bytes read and memory for a large file of each form; the files are removed."""
    files = {form: write(form, folder, size, LAYERS) for form in FORMS}
    commands: dict[str, Sequence[str]] = {}
    for form, path in files.items():
        commands[f"bnlint {form}"] = check(path)
        commands[f"torch {form}"] = load(form, path, files["state_dict"])
    seconds = interleaved_medians(commands, rounds)
    found = []
    for form, path in files.items():
        read = bytes_read(functools.partial(bnlint.inspect, path)) if COUNTER.exists() else None
        times = seconds[f"bnlint {form}"], seconds[f"torch {form}"]
        found.append(Measured(form, path.stat().st_size, *times, read, LAYERS * BYTES_OF_A_NORM, *memory(path)))
    _remove(files.values())
    return found


def by_size(folder: Path, size: int, rounds: int) -> list[Growth]:
    """Processor seconds for files of the same layers, of a hundredth and a tenth of the size and of all of it."""
    sizes = [*(size // part for part in SMALLER), size]
    return [Growth(form, _times({size: write(form, folder, size, LAYERS) for size in sizes}, rounds)) for form in FORMS]


def by_layers(folder: Path, size: int, rounds: int) -> list[Growth]:
    """Processor seconds for files of one size with more and more layers."""
    return [
        Growth(form, _times({layers: write(form, folder, size, layers) for layers in MORE_LAYERS}, rounds))
        for form in FORMS
    ]


def _times(files: Mapping[int, Path], rounds: int) -> dict[int, float]:
    commands = {str(number): check(path) for number, path in files.items()}
    seconds = interleaved_medians(commands, rounds, processor=True)
    _remove(files.values())
    return {number: seconds[str(number)] for number in files}


def _remove(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink()


def main() -> None:
    """Makes the files, prints the tables, and writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saved_files", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of the largest files; three are kept at a time")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed runs of each command")
    parser.add_argument("--folder", type=Path, help="where the files are made and removed; the usual temporary folder")
    parser.add_argument("--write", type=Path, help="markdown file for the page")
    arguments = parser.parse_args()
    # An installed command has its bytecode, and torch always has: without it, bnlint would compile itself at each run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        measured = measure(folder, arguments.size, arguments.rounds)
        sizes = by_size(folder, arguments.size, arguments.rounds)
        layers = by_layers(folder, arguments.size // SMALLER[0], arguments.rounds)
    print(tables(measured, sizes, layers))
    if arguments.write is not None:
        arguments.write.write_text(page(measured, sizes, layers, arguments.rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
