"""The generated pages of the rules are those of today's rules and of today's output."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bnlint.ruleset import Rule, load_rules
from docs.rule_pages import FAMILIES, FOLDER, pages

RULES = load_rules()
NUMBER = re.compile(r"(?<![\w.])(-?\d+\.\d+(?:e[+-]?\d+)?)(?![\w.])")
"""A number with a fraction: sums of many numbers differ from machine to machine in their last digits."""


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


def parts(text: str) -> Iterator[str | float]:
    """The text without its line breaks, which move with the width of numbers; numbers as such."""
    for place, part in enumerate(NUMBER.split(" ".join(text.split()))):
        yield float(part) if place % 2 else part


def test_there_is_a_page_for_each_rule_and_no_other(written: dict[str, str]) -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(written), "run `make docs`"
    assert set(written) == {f"{rule.code}.md" for rule in RULES} | {"README.md"}


@pytest.mark.parametrize("name", ["README.md", *(f"{rule.code}.md" for rule in RULES)])
def test_no_page_is_stale(written: dict[str, str], name: str) -> None:
    published = list(parts((FOLDER / name).read_text(encoding="utf-8")))
    current = list(parts(written[name]))
    assert published[::2] == current[::2], "run `make docs`"
    assert published[1::2] == pytest.approx(current[1::2], rel=1e-3), "run `make docs`"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_page_says_what_the_rule_file_says(rule: Rule, written: dict[str, str]) -> None:
    text = written[f"{rule.code}.md"]
    flat = " ".join(text.split())
    texts = [rule.summary, rule.why, rule.false_alarms, f"--ignore {rule.code}", *rule.options, *rule.references]
    for said in (*texts, *(example.title for example in (*rule.examples.bad, *rule.examples.good))):
        assert " ".join(said.split()) in flat


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_bad_examples_show_a_finding_and_good_ones_none(rule: Rule, written: dict[str, str]) -> None:
    bad, _, good = written[f"{rule.code}.md"].partition("## Bad examples")[2].partition("## Good examples")
    shown = re.compile(rf"^(?:{rule.severity} +{rule.code} |.*: {rule.code} {rule.severity} ){rule.name}", re.MULTILINE)
    sections = bad.split("\n### ")[1:]
    assert len(sections) == len(rule.examples.bad)
    assert all(shown.search(section) for section in sections)
    assert not shown.findall(good)


def test_every_family_of_codes_has_a_heading() -> None:
    assert {rule.code[:3] for rule in RULES} <= set(FAMILIES)
