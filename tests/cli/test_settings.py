"""Settings from the command line and from the configuration file."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from bnlint.config import ConfigFile
from bnlint.ruleset.profiles import load_profiles
from tests.cli.conftest import Run, returns
from tests.reporters.reports import report

STRICT = "profile: strict\nseverity: { BN201: error }\nignore: [BN205]\noptions: { BN301: { minimum_values: 100 } }\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a repository of its own."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def calls(linter: types.ModuleType) -> list[dict[str, Any]]:
    """The arguments of each call of `check`, which is not carried out."""
    calls: list[dict[str, Any]] = []
    linter.check = returns(report(), calls)  # type: ignore[attr-defined]
    return calls


def test_severities_options_and_profile_arrive(run: Run, calls: list[dict[str, Any]]) -> None:
    severities = ["--severity", "BN201=warning", "--severity", "BN2=error"]
    options = ["--option", "BN301.minimum_values=100", "--option", "BN301.other=1e-3", "--option", "BN504.share=-0.5"]
    assert run("check", "a.pt", *severities, *options, "--profile", "strict").code == 0
    (call,) = calls
    assert call["severity"] == {"BN201": "warning", "BN2": "error"}
    assert call["options"] == {"BN301": {"minimum_values": 100, "other": 0.001}, "BN504": {"share": -0.5}}
    assert call["profile"] == "strict"
    assert isinstance(call["options"]["BN301"]["minimum_values"], int)


def test_what_is_not_given_leaves_room_for_the_file(run: Run, calls: list[dict[str, Any]]) -> None:
    run("check", "a.pt")
    (call,) = calls
    for name in ("context", "fail_on", "profile", "config", "batch_size", "drop_last", "deploy_dtype"):
        assert call[name] is None, name


def test_the_file_of_the_folder_is_read_unless_refused(run: Run, calls: list[dict[str, Any]]) -> None:
    Path("bnlint.yaml").write_text(STRICT)
    Path("other.yaml").write_text("fail_on: never\n")
    for arguments in ([], ["--no-config"], ["--config", "other.yaml"]):
        assert run("check", "a.pt", *arguments).code == 0
    found, refused, named = (call["config"] for call in calls)
    assert isinstance(found, ConfigFile)
    assert found.name == "bnlint.yaml"
    assert refused is None
    assert (named.name, named.layer.settings.fail_on) == ("other.yaml", "never")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--severity", "BN201"], "bnlint: --severity BN201 names no rule and level. Write it as --severity BN201="),
        (["--option", "BN301=3"], "bnlint: --option BN301=3 names no option and number. Write it as --option BN301."),
        (["--option", "BN301.x=many"], 'bnlint: --option BN301.x=many: "many" is not a number.'),
        (["--config", "a.yaml", "--no-config"], "bnlint: --config and --no-config contradict each other."),
        (["--config", "a.yaml"], "bnlint: a.yaml cannot be read: No such file"),
    ],
)
def test_wrong_settings_exit_with_2(run: Run, calls: list[dict[str, Any]], arguments: list[str], says: str) -> None:
    ended = run("check", "a.pt", *arguments)
    assert (ended.code, ended.out, calls) == (2, "", [])
    assert ended.err.startswith(says)
    assert ended.err.count("\n") == 1


def test_a_mistake_in_the_file_is_told_by_every_command_that_reads_it(run: Run) -> None:
    Path("bnlint.yaml").write_text("fail_on: eror\n")
    for arguments in (["check", "a.pt"], ["rules"], ["explain", "BN201"]):
        ended = run(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == 'bnlint: bnlint.yaml:1: unknown value "eror" of "fail_on"; did you mean "error"?\n'
        assert run("rules", "--no-config").code == 0


def test_rules_shows_what_the_settings_make_of_them(run: Run) -> None:
    assert "BN201  info     batch-norm-after-activation\n" in run("rules").out
    Path("bnlint.yaml").write_text(STRICT)
    text = run("rules").out
    assert "BN201  error    batch-norm-after-activation\n" in text
    assert "BN205  off      " in text
    assert "BN601  warning  foldable-batch-norm\n" in run("rules", "--profile", "deploy").out
    assert "BN201  info     batch-norm-after-activation\n" in run("rules", "--no-config").out


def test_rules_says_when_a_rule_runs_and_what_it_needs(run: Run) -> None:
    text = run("rules").out
    _, _, of_bn301 = text.partition("BN301")
    assert "for training or with --batch-size · needs module, graph, batch size" in " ".join(of_bn301.split())
    _, _, of_bn003 = text.partition("BN003")
    assert "for inference and training · needs graph" in " ".join(of_bn003.split())


def test_explain_shows_severity_and_options_after_the_settings(run: Run) -> None:
    assert "values_per_channel < 784 (option minimum_values)" in run("explain", "BN301").out
    Path("bnlint.yaml").write_text(STRICT)
    assert "minimum_values = 100" in run("explain", "BN301").out
    assert "values_per_channel < 100 (option minimum_values)" in run("explain", "BN301").out
    assert "error · rules/BN201.yaml" in run("explain", "BN201").out


def test_the_help_names_every_profile(run: Run) -> None:
    assert " or ".join(load_profiles()) in " ".join(run("check", "--help").out.split())


def test_explain_offers_the_nearest_code(run: Run) -> None:
    assert run("explain", "BN30").err == 'bnlint: There is no rule "BN30"; BN3 has BN301 to BN305.\n'


def test_an_unknown_profile_offers_the_nearest(run: Run) -> None:
    ended = run("rules", "--profile", "stric")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == 'bnlint: There is no profile "stric"; did you mean "strict"?\n'
