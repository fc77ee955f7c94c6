from __future__ import annotations

from bnlint.reporters.page.style import Style
from bnlint.reporters.report.concise import render as concise
from tests.reporters.reports import NEEDS_BATCH_SIZE, full_report, never_updated, not_traced, report


def test_one_line_a_layer() -> None:
    lines = concise(report(findings=(never_updated(),)), Style()).splitlines()
    assert len(lines) == 53
    assert lines[1] == (
        "resnet50.pt:layer1.0.bn1: BN501 error never-updated-statistics: The running statistics of 53 layers were never"
        " updated: mean 0, variance 1, no batch counted. [kind=batch_norm statistics_at_initial_values=true"
        " has_batch_counter=true batches_counted=0] (torchvision/models/resnet.py:147)"
    )


def test_a_finding_on_the_model() -> None:
    assert concise(report(findings=(not_traced(),)), Style()).startswith("resnet50.pt:(model): BN001 info not-traced:")


def test_what_was_not_looked_at_has_its_lines() -> None:
    text = concise(report(not_run=NEEDS_BATCH_SIZE, unanalysed=("It\ncould not.",)), Style())
    assert text.splitlines() == [
        "resnet50.pt: BN301,BN302 not-run: give `--batch-size N`, the training batch",
        "resnet50.pt: not-analysed: It could not.",
    ]


def test_silence_means_that_every_rule_ran_and_found_nothing() -> None:
    assert concise(report(), Style()) == ""
    assert concise(full_report(), Style()) != ""
