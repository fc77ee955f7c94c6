"""Searches for files that bnlint neither reads nor refuses in a sentence, and prints what was run and found.

python -m benchmarks.fuzz                                            # 20 minutes, over all targets
python -m benchmarks.fuzz --minutes 3 --target legacy --target ONNX
python -m benchmarks.fuzz --corpus DIR --write benchmarks/results/fuzz.md   # DIR keeps what was reached

An input is found where it brings about anything but a report or an error for people, an import, a command or a write,
takes more than two seconds or 1.5 GB, or stops the process. Needs the package `atheris`, which `make fuzz` installs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzz.targets import TARGETS
from benchmarks.resident import machine, today

_COUNTS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_DONE = re.compile(r"^Done \d+ runs in (\d+) second", re.MULTILINE)
_FOUND = re.compile(r"^(?:\s*=== Uncaught Python exception: ===\n(.+)|==\d+== ERROR: (.+))$", re.MULTILINE)
_START_UP = 300
"""Seconds in which the process must have made its seeds and instrumented the code, and ended after the search."""


@dataclass(frozen=True)
class Search:
    """What became of one target.

    Attributes:
        name: The target.
        seconds: Wall-clock time of the search, without that of the start; 0 where it ended early.
        executions: Inputs that were read.
        edges: Branches of the code of bnlint that they reached, those of reports included.
        kept: Inputs that reached something that no other did.
        found: What was found, in a line; empty for nothing.
    """

    name: str
    seconds: float
    executions: int
    edges: int
    kept: int
    found: str


def search(name: str, folder: Path, seconds: int) -> Search:
    """Search one target in a process of its own.

    Args:
        name: The target.
        folder: Where inputs are kept.
        seconds: How long.
    """
    command = [sys.executable, "-m", "benchmarks.fuzz.search", name, str(folder), str(seconds)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + _START_UP, check=False
        )
        output, ended = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output, ended = error.output or b"", -1
    said = output.decode(errors="replace")
    counts = _COUNTS.findall(said)
    if not counts:
        raise SystemExit(f"The search of {name!r} did not begin:\n{said[-2000:]}")
    executions, edges, _, kept = map(int, counts[-1])
    found = _FOUND.search(said)
    ran = _DONE.search(said)
    words = (found[1] or found[2]) if found else f"ended with {ended}" if ended else ""
    if words:
        (folder / "found.txt").write_text(said)
    return Search(name, float(ran[1]) if ran else 0, executions, edges, kept, words[:200])


def page(searches: Sequence[Search]) -> str:
    """The results as a page in Markdown."""
    minutes = sum(item.seconds for item in searches) / 60
    found = sum(bool(item.found) for item in searches)
    rows = [
        f"| {item.name} | {TARGETS[item.name].reads} | {item.seconds / 60:.1f} | {item.executions:,} | {item.edges:,} |"
        f" {item.kept:,} | {item.found or 'nothing'} |"
        for item in searches
    ]
    return "\n".join([
        "# Coverage-guided search for hostile files",
        "",
        f"`python -m benchmarks.fuzz` on {today()}: {minutes:.0f} minutes in one process at a time,"
        f" {sum(item.executions for item in searches):,} executions, {found} found. {machine()}.",
        "",
        "Each input goes the whole road: told by its content, read, facts collected, all rules applied, the report"
        " written in every format. An input counts as found where that ends in anything but a report or a sentence,"
        " where an audit hook sees an import, compilation, command, socket or write, or where it takes more than two"
        " seconds of processor time or 1.5 GB. Models of `torch.nn` in files are traced in the target `traced` alone,"
        " where torch itself imports and compiles, so that nothing is forbidden there."
        " Edges are branches of bnlint's own code.",
        "",
        "| target | reads | minutes | executions | edges | inputs kept | found |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        *rows,
        "",
    ])  # fmt: skip


def main() -> int:
    """Parse the arguments, search and print; the exit status says whether anything was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--minutes", type=float, default=20, help="in total, over all targets")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="several may be given; all by default")
    parser.add_argument("--corpus", type=Path, help="a folder to go on from, and to keep inputs in")
    parser.add_argument("--write", type=Path, help="a file for the results")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    seconds = max(1, round(given.minutes * 60 / len(names)))
    searches = []
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = given.corpus or Path(temporary)
        for name in names:
            searches.append(search(name, folder / name, seconds))
            print(searches[-1], flush=True)
        if any(item.found for item in searches) and given.corpus is None:
            print("With --corpus DIR the inputs that were found are kept.")
    text = page(searches)
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    return int(any(item.found for item in searches))


if __name__ == "__main__":
    sys.exit(main())
