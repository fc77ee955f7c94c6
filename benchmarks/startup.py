"""Prints how long the commands that need no torch take to start, as multiples of `python -c pass`."""

from __future__ import annotations

import sys

from benchmarks.timing import interleaved_medians, print_ratios

ROUNDS = 9


def main() -> None:
    """Times each command and prints one line for it."""
    bnlint = [sys.executable, "-m", "bnlint"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import bnlint": [sys.executable, "-c", "import bnlint"],
        "bnlint --help": [*bnlint, "--help"],
        "bnlint rules": [*bnlint, "rules"],
        "bnlint explain BN501": [*bnlint, "explain", "BN501"],
        "bnlint facts": [*bnlint, "facts"],
    }
    print(f"Start-up, medians of {ROUNDS} runs in turns:")
    print_ratios(interleaved_medians(commands, ROUNDS), base="python -c pass")


if __name__ == "__main__":
    main()
