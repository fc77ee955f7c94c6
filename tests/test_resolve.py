from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnlint.checking.options import CheckOptions
from bnlint.config import ConfigFile, read_config
from bnlint.errors import RuleFileError, UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.report import Context, Severity
from bnlint.resolve import Resolved, resolve
from bnlint.ruleset import find_rule
from tests.ruleset.writing import PLAIN, write


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(text: str) -> ConfigFile:
    return read_config(write(Path(), text, "bnlint.yaml"))


def resolved_of(**options: Any) -> Resolved:
    return resolve(CheckOptions(**options))


def severity(code: str, **options: Any) -> Severity:
    return find_rule(resolved_of(**options).rules.rules, code).severity


def test_without_any_setting() -> None:
    resolved = resolved_of()
    assert (resolved.context, resolved.fail_on) == (Context.INFERENCE, Severity.WARNING)
    assert (resolved.setup, resolved.options.deploy_dtype) == (TrainingSetup(), None)
    assert resolved.settings == ()
    assert len(resolved.rules.to_run) == len(resolved.rules.rules)


def test_each_layer_wins_over_the_one_before() -> None:
    file = config("severity: { BN601: error }")
    given = {"BN601": "info"}
    assert severity("BN601") is Severity.INFO
    assert severity("BN601", profile="deploy") is Severity.WARNING
    assert severity("BN601", profile="deploy", config=file) is Severity.ERROR
    assert severity("BN601", profile="deploy", config=file, severity=given) is Severity.INFO


def test_each_layer_wins_for_the_threshold_and_the_context() -> None:
    file = config("{ profile: strict, context: training }")
    assert resolved_of(config=file).fail_on is Severity.INFO
    assert resolved_of(fail_on="error", config=file).fail_on is Severity.ERROR
    assert resolved_of(fail_on="never", config=file).fail_on is None
    assert resolved_of(config=config("{ profile: strict, fail_on: never }")).fail_on is None
    file = config("{ profile: deploy, context: training }")
    assert resolved_of(config=file).context is Context.TRAINING
    assert resolved_of(context="inference", config=file).context is Context.INFERENCE


def test_each_declaration_wins_by_itself() -> None:
    file = config("{ batch_size: 4, devices: 2, drop_last: true, deploy_dtype: float16 }")
    resolved = resolved_of(config=file, batch_size=2, drop_last=False)
    assert resolved.setup == TrainingSetup(batch_size=2, devices=2, drop_last=False)
    assert resolved.options.deploy_dtype == "float16"
    assert resolved_of(config=file, deploy_dtype="bfloat16").options.deploy_dtype == "bfloat16"


def test_an_argument_takes_the_place_of_the_profile_of_the_file() -> None:
    file = config("profile: strict")
    assert resolved_of(config=file).settings == ("profile strict", "bnlint.yaml")
    resolved = resolved_of(config=file, profile="deploy")
    assert resolved.settings == ("profile deploy", "bnlint.yaml")
    assert resolved.fail_on is Severity.WARNING


def test_selecting_by_argument_sets_the_choice_of_the_file_aside() -> None:
    file = config("{ select: [BN5], ignore: [BN501] }")
    assert "BN501" not in resolved_of(config=file).rules.chosen
    assert resolved_of(select=["BN501"], config=file).rules.chosen == {"BN501"}
    assert resolved_of(ignore=["BN5"], config=file).rules.chosen == set()


def test_rules_of_the_file_and_of_the_argument(tmp_path: Path) -> None:
    write(tmp_path / "lint", PLAIN)
    file = config("{ rules: [lint], severity: { ACME001: info } }")
    assert severity("ACME001", config=file) is Severity.INFO
    assert severity("ACME001", config=file, rules=[tmp_path / "lint"]) is Severity.INFO, "the same folder twice"
    with pytest.raises(RuleFileError, match="There is no folder of rules nowhere"):
        resolved_of(config=config("rules: [nowhere]"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nprofile: stric", 'bnlint.yaml:2: there is no profile "stric"; did you mean "strict"?'),
        ("select:\n- BN1\n- BN5O1", 'bnlint.yaml:3: there is no rule "BN5O1"; did you mean "BN501"?'),
        ("severity:\n  BN1: info\n  BN2x: info", 'bnlint.yaml:3: there is no rule "BN2x";'),
        (
            "options:\n  BN301:\n    minimum_value: 3",
            'bnlint.yaml:3: the rule BN301 has no option "minimum_value"; did you mean "minimum_values"?',
        ),
    ],
)
def test_a_wrong_name_in_the_file_is_found_there(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved_of(config=config(text))
    assert str(caught.value).startswith(message)


def test_a_wrong_profile_as_argument() -> None:
    with pytest.raises(UsageError) as caught:
        resolved_of(profile="stric", config=config("fail_on: info"))
    assert str(caught.value) == 'There is no profile "stric"; did you mean "strict"?'
