from __future__ import annotations

import pytest

from bnlint.errors import UsageError
from bnlint.report import Context, Severity
from bnlint.ruleset import adjust, find_rule, load_rules
from bnlint.ruleset.profiles import load_profiles, profile_layer

RULES = load_rules()


@pytest.mark.parametrize("name", load_profiles())
def test_every_profile_fits_the_rules(name: str) -> None:
    profile = load_profiles()[name]
    assert adjust(RULES, [profile_layer(name)]).to_run
    assert profile.summary.endswith(".")
    assert profile.fail_on is not None


def test_deploy_fails_where_speed_is_left_or_nothing_could_be_traced() -> None:
    adjusted = adjust(RULES, [profile_layer("deploy")])
    for code in ("BN001", "BN002", "BN601"):
        assert find_rule(adjusted.rules, code).severity is Severity.WARNING, code
    assert find_rule(adjusted.rules, "BN003").severity is Severity.INFO  # a folded model has no BatchNorm
    assert load_profiles()["deploy"].context is Context.INFERENCE


def test_strict_fails_on_advice() -> None:
    assert load_profiles()["strict"].fail_on == "info"


def test_an_unknown_profile() -> None:
    with pytest.raises(UsageError, match=r'There is no profile "deplyo"; did you mean "deploy"\?'):
        profile_layer("deplyo")
    with pytest.raises(UsageError, match="there are deploy and strict"):
        profile_layer("qqqqq")


def test_profiles_are_no_rules() -> None:
    assert not any("profiles" in rule.source for rule in RULES)
