"""Peak resident memory of this process, and what a benchmark says of the machine it ran on."""

from __future__ import annotations

import os
import platform
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

MEBIBYTE = 1 << 20

BNLINT_AND_PEAKS: Final = """
import atexit, re, resource
from pathlib import Path

def report():
    own = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)
    print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)

atexit.register(report)  # first of all, so that it is called last, when no child is left
from bnlint.cli.main import main
main()
"""
"""Runs bnlint with the arguments after it, and then prints what `peaks` reads; for Linux."""


def peaks(output: str) -> tuple[int, int]:
    """Peak resident memory of the process that ran `BNLINT_AND_PEAKS`, and of the largest that it started, in bytes.

    Args:
        output: What it printed.
    """
    own, largest = (int(word) * 1024 for word in output.splitlines()[-1].split())
    return own, largest


def resident() -> int:
    """Resident memory of this process now, in bytes; the peak so far where the system does not tell."""
    return _status("VmRSS") or _peak_of_process()


def forget_peak() -> None:
    """Let `peak` count from now on; nothing happens where the system cannot do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak() -> int:
    """Highest resident memory of this process since `forget_peak`, in bytes; else since its start."""
    return _status("VmHWM") or _peak_of_process()


def machine() -> str:
    """Kind of machine and versions in words, without any name or path."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerator = "with an accelerator" if torch.cuda.is_available() else "no accelerator"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{cores} CPU cores ({platform.machine()}, {platform.system()}), {accelerator}; {versions}"


def today() -> str:
    """The date in UTC."""
    return datetime.now(tz=UTC).date().isoformat()


def _status(name: str) -> int:
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{name}:")), 0)


def _peak_of_process() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
