"""Seeds faults into public models and lists by which rule and where each was found.

python -m benchmarks.recall                                       # the table on the terminal
python -m benchmarks.recall --write benchmarks/results/recall.md  # the page for keeps
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from bnlint.report import Report
from bnlint.reporters.page.grouping import summarise
from bnlint.ruleset import find_rule, load_rules
from tests.zoo.faults.fault import Fault
from tests.zoo.seeded_faults import FAULTS, others, report_on

HEAD = "| fault | model | what was done | found by | where | with it |\n| --- | --- | --- | --- | --- | --- |"

_LONGEST = 100


def row(fault: Fault, report: Report, expected: set[str]) -> str:
    """What was found of a fault, as a line of markdown.

    Args:
        fault: The fault.
        report: What bnlint says of it.
        expected: The layers at which it has to be found.
    """
    finding = next((finding for finding in report.findings if finding.code == fault.code), None)
    found = "**missed**" if finding is None else fault.code
    where = "" if finding is None else summarise(finding.layers, _LONGEST) or "the model"
    if finding is not None and set(finding.layers) != expected:
        found += " (**other layers**)"
    cells = (fault.code, fault.base, fault.what, found, where, ", ".join(sorted(others(fault, report))))
    return f"| {' | '.join(cells)} |"


def page(rows: Sequence[str]) -> str:
    """The whole page, without a date or a machine: it says the same everywhere."""
    rules = load_rules()
    names = {code: find_rule(rules, code).name for code in dict.fromkeys(fault.code for fault in FAULTS)}
    listed = "\n".join(f"- {code} {name}" for code, name in names.items())
    missed = sum("**" in line for line in rows)
    return f"""# Seeded faults

Written by `make docs` from `tests/zoo/seeded_faults.py`; `tests/zoo/test_recall.py` holds it to what bnlint says.

Each fault is seeded into a public model in good health, and the corpus says by which rule it has to be found, and on
exactly which layers. Found so: **{len(rows) - missed} of {len(rows)}**. *With it* are further errors and warnings that
are right to say of the same model; there are no others. Layers are written as in bnlint's reports.

{HEAD}
{chr(10).join(rows)}

The rules:

{listed}
"""


def main() -> None:
    """Prints the table, or writes the page where asked; ends with 1 where a fault was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="markdown file for the page")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = [row(fault, *report_on(fault)) for fault in FAULTS]
    if arguments.write is None:
        print(HEAD, *rows, sep="\n")
    else:
        arguments.write.write_text(page(rows), encoding="utf-8")
    if any("**" in line for line in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
