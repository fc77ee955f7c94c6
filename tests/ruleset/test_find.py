from __future__ import annotations

import pytest

from bnlint.errors import UsageError
from bnlint.ruleset import find_rule, load_rules
from bnlint.ruleset.find import matching

RULES = load_rules()


def test_by_code_by_name_and_by_the_beginning_of_codes() -> None:
    assert [rule.code for rule in matching(RULES, "BN501")] == ["BN501"]
    assert [rule.code for rule in matching(RULES, "never-updated-statistics")] == ["BN501"]
    assert [rule.code for rule in matching(RULES, "bn501")] == ["BN501"]
    assert list(matching(RULES, "BN5")) == [rule for rule in RULES if rule.code.startswith("BN5")]


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("never-updated-statistic", 'did you mean "never-updated-statistics"?'),
        ("BN5O1", 'did you mean "BN501"?'),
        ("never-updated", 'did you mean "never-updated-statistics"?'),
        ("501", 'did you mean "BN501"?'),
        ("BN599", f"BN5 has BN501 to {[rule.code for rule in RULES if rule.code.startswith('BN5')][-1]}."),
        ("BN9", "codes begin with BN0, BN1, BN2, BN3, BN4, BN5 or BN6."),
        ("BN501,BN502", "name each by itself."),
        ("qqqqqq", "`bnlint rules` lists them."),
        ("", "`bnlint rules` lists them."),
    ],
)
def test_an_unknown_word_gets_the_nearest_right_one(word: str, nearest: str) -> None:
    for search in (matching, find_rule):
        with pytest.raises(UsageError) as caught:
            search(RULES, word)
        assert str(caught.value) == f'There is no rule "{word}"; {nearest}'


def test_find_rule_wants_a_whole_code() -> None:
    assert find_rule(RULES, "BN501") is find_rule(RULES, "never-updated-statistics")
    with pytest.raises(UsageError):
        find_rule(RULES, "BN5")
