"""The same faults are found through every form; where one cannot be seen, the rule says so and what would help."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import pytest

import bnlint
from bnlint.report import Report
from tests.parity.forms import FORMS
from tests.parity.shelf import Shelf
from tests.parity.subjects import Subject

SEEDED: Final = {
    "BN102": {"bn1"},
    "BN104": {"bn_stateless"},
    "BN201": {"bn_cumulative"},
    "BN202": {"bn_after_dropout"},
    "BN502": {"bn_head"},
    "BN503": {"bn_cumulative"},
    "BN508": {"bn_plain", "instance_norm"},
}
"""The faults of `subjects.faulty`, by rule."""

INSTEAD: Final[dict[str, dict[str, str]]] = {
    "program": {"BN102": "BN103"},  # the mode is a part of the program
    "traced": {"BN102": "BN103"},
    "onnx": {"BN102": "BN112"},  # exported as inference: one finding for the model
}
"""The rule that says by column what another says of a live model."""
OF_THE_FORM: Final = {"onnx": {"BN606"}}
"""Rules about a form itself."""

NAMES: Final = [
    name for name in FORMS if name not in ("exported program, strict", "known code, older form", "trusted, older form")
]


def layers_found(report: Report, prefix: str = "") -> dict[str, set[str]]:
    return {item.code: {layer.removeprefix(prefix) for layer in item.layers} for item in report.findings}


def check(target: Any, subject: Subject, **options: Any) -> Report:
    return bnlint.check(target, inputs=subject.image, batch_size=16, **options)


@pytest.fixture(scope="module")
def live(shelf: Shelf) -> dict[str, set[str]]:
    """What is found in the model itself."""
    subject = shelf.subject("faulty")
    return layers_found(check(subject.model, subject))


@pytest.mark.filterwarnings("ignore")
def test_the_faults_are_found_in_the_live_model(live: dict[str, set[str]]) -> None:
    assert {code: live.get(code) for code in SEEDED} == SEEDED


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_a_form_shows_the_same_faults_or_names_what_it_lacks(
    name: str, shelf: Shelf, live: dict[str, set[str]]
) -> None:
    form, subject = FORMS[name], shelf.subject("faulty")
    report = check(shelf.written(form, subject), subject, **form.arguments(subject))
    found = layers_found(report, form.prefix)
    undecided: dict[str, set[str]] = defaultdict(set)
    for item in report.not_run:
        assert item.remedy
        undecided[item.code] |= {layer.removeprefix(form.prefix) for layer in item.layers}
    instead = INSTEAD.get(form.column, {})
    for code, layers in live.items():
        seen = found.pop(instead.get(code, code), set())
        if instead.get(code) != "BN112":
            assert seen <= layers <= seen | undecided[code], code
    assert set(found) <= OF_THE_FORM.get(form.column, set())
    assert not set(report.passed) & set(live) - set(instead)
