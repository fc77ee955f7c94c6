from __future__ import annotations

import pytest

from bnlint.errors import UsageError
from bnlint.ruleset import choose, find_rule, load_rules

RULES = load_rules()


def codes(select: list[str], ignore: list[str]) -> list[str]:
    return [rule.code for rule in choose(RULES, select, ignore)]


def test_nothing_selected_means_all() -> None:
    assert choose(RULES) == RULES


def test_by_code_by_name_and_by_the_beginning_of_a_code() -> None:
    assert codes(["BN501"], []) == ["BN501"]
    assert codes(["never-updated-statistics"], []) == ["BN501"]
    assert codes(["BN5"], []) == [rule.code for rule in RULES if rule.code.startswith("BN5")]
    assert codes(["bn501", "BN201"], []) == ["BN201", "BN501"]


def test_ignore_wins() -> None:
    assert codes(["BN5"], ["negative-variance"]) == ["BN501", "BN502"]
    assert codes(["BN501"], ["BN5"]) == []
    assert "BN201" not in codes([], ["BN2"])


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("never-updated-statistic", 'did you mean "never-updated-statistics"?'),
        ("BN5O1", 'did you mean "BN501"?'),
        ("qqqqqq", "`bnlint rules` lists them."),
        ("", "`bnlint rules` lists them."),
    ],
)
def test_an_unknown_word_gets_the_nearest_right_one(word: str, nearest: str) -> None:
    for attempt in (
        lambda: choose(RULES, select=[word]),
        lambda: choose(RULES, ignore=[word]),
        lambda: find_rule(RULES, word),
    ):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert str(caught.value) == f'There is no rule "{word}"; {nearest}'


def test_find_rule_wants_a_whole_code() -> None:
    assert find_rule(RULES, "BN501") is find_rule(RULES, "never-updated-statistics")
    with pytest.raises(UsageError):
        find_rule(RULES, "BN5")
