"""Settings change what a check says, from Python and from the command line alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import bnlint
from bnlint import Severity, UsageError
from bnlint.reporters.page.style import Style
from bnlint.reporters.report import full
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a repository of its own."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def model() -> nn.Module:
    """BatchNorm after an activation (BN201, info), foldable into the convolution after it (BN601, info)."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    layers(torch.randn(16, 3, 8, 8))
    return layers.eval()


def severities(**settings: object) -> dict[str, Severity]:
    report = bnlint.check(model(), inputs="2x3x8x8", select=["BN201", "BN301", "BN601"], **settings)  # type: ignore[arg-type]
    return {finding.code: finding.severity for finding in report.findings}


def test_severity() -> None:
    assert severities() == {"BN201": Severity.INFO, "BN601": Severity.INFO}
    changed = severities(severity={"batch-norm-after-activation": "error", "BN6": Severity.WARNING})
    assert changed == {"BN201": Severity.ERROR, "BN601": Severity.WARNING}


def test_a_severity_decides_whether_the_check_fails() -> None:
    assert bnlint.check(model(), inputs="2x3x8x8").ok
    assert bnlint.check(model(), inputs="2x3x8x8", severity={"BN201": "warning"}).exit_code == 1
    assert bnlint.check(model(), inputs="2x3x8x8", severity={"BN201": "warning"}, fail_on="error").ok
    assert bnlint.check(model(), inputs="2x3x8x8", severity={"BN201": "error"}, fail_on="never").ok
    assert bnlint.check(model(), inputs="2x3x8x8", profile="strict").exit_code == 1


def test_an_option_moves_the_threshold() -> None:
    """Eight samples on a map of 8×8 are 512 values per channel."""
    for minimum, found in ((512, False), (513, True)):
        report = bnlint.check(
            model().train(),
            inputs="2x3x8x8",
            batch_size=8,
            context="training",
            select="BN301",
            options={"BN301": {"minimum_values": minimum}},
        )
        assert bool(report.findings) is found, minimum


def test_the_file_counts_and_the_argument_wins() -> None:
    Path("bnlint.yaml").write_text("profile: deploy\nseverity: { BN201: error }\nfail_on: never\n")
    assert severities() == {"BN201": Severity.INFO, "BN601": Severity.INFO}, "in Python no file is looked for"
    assert severities(config="bnlint.yaml") == {"BN201": Severity.ERROR, "BN601": Severity.WARNING}
    assert severities(config="bnlint.yaml", severity={"BN201": "warning"})["BN201"] is Severity.WARNING
    assert bnlint.check(model(), config="bnlint.yaml").ok
    assert not bnlint.check(model(), config="bnlint.yaml", fail_on="error").ok


def test_the_report_says_which_settings_it_used() -> None:
    Path("bnlint.yaml").write_text("profile: strict\n")
    report = bnlint.check(model(), inputs="2x3x8x8", config="bnlint.yaml")
    assert report.settings == ("profile strict", "bnlint.yaml")
    second = full.render(report, Style()).splitlines()[1]
    assert second.startswith("for inference · settings: profile strict, bnlint.yaml · traced")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"severity": {"BN20": "erorr"}}, 'Unknown value "erorr" of "BN20"; did you mean "error"?'),
        ({"severity": {"BN2O1": "error"}}, 'There is no rule "BN2O1"; did you mean "BN201"?'),
        ({"options": {"BN301": {"minimum": 3}}}, 'The rule BN301 has no option "minimum"; did you mean'),
        ({"options": {"BN301": {"minimum_values": "3"}}}, '"minimum_values" must be a number, not a text.'),
        ({"profile": "stritc"}, 'There is no profile "stritc"; did you mean "strict"?'),
        ({"fail_on": "errors"}, 'Unknown value "errors" of "fail_on"; did you mean "error"?'),
        ({"config": "nowhere.yaml"}, "nowhere.yaml cannot be read: No such file or directory."),
    ],
)
def test_a_wrong_setting(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        bnlint.check(model(), **settings)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


def test_the_command_line_reads_the_file_and_wins_over_it(run: Run) -> None:  # noqa: F811
    Path("pyproject.toml").write_text('[tool.bnlint.severity]\nBN501 = "warning"\n')
    factory = "import torch.nn as nn\ndef make():\n    return nn.BatchNorm2d(8).eval()\n"
    Path("own_models.py").write_text(factory)
    said = run("check", "own_models:make", "--format", "concise")
    assert (said.code, "BN501 warning" in said.out) == (1, True), said.err
    said = run("check", "own_models:make", "--format", "concise", "--severity", "BN501=info", "--fail-on", "warning")
    assert (said.code, "BN501 info" in said.out) == (0, True), said.err
    said = run("check", "own_models:make", "--format", "concise", "--no-config")
    assert (said.code, "BN501 error" in said.out) == (1, True), said.err
