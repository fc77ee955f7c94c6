"""Every seeded fault is found: by the right rule, on the right layers, and by no other rule."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.recall import row
from bnlint.ruleset import load_rules
from tests.zoo.faults.fault import Fault
from tests.zoo.seeded_faults import FAULTS, others, report_on

PAGE = (Path(__file__).parents[2] / "benchmarks" / "results" / "recall.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.code}-{fault.base}-{fault.what}")
def test_found_where_it_is_and_by_one_rule_alone(fault: Fault) -> None:
    report, layers = report_on(fault)
    found = {finding.code: set(finding.layers) for finding in report.findings}
    assert found.get(fault.code) == layers, (found, [item for item in report.not_run if item.code == fault.code])
    assert others(fault, report) == fault.also
    assert row(fault, report, layers) in PAGE, "run `make docs`"


def test_the_page_lists_these_faults_alone() -> None:
    assert sum(line.startswith("| BN") for line in PAGE) == len(FAULTS)


def test_there_are_three_variants_of_every_fault() -> None:
    """Except of BN0xx, which say what could not be looked at or what a file is, and of those on ONNX files."""
    variants = Counter(fault.code for fault in FAULTS)
    codes = {rule.code for rule in load_rules() if not rule.code.startswith("BN0")}
    assert codes - {"BN112", "BN606"} == set(variants)
    assert min(variants.values()) >= 3
