"""A format is a file and a line: the command line offers it, and writes one target and many with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from tests.models import with_plausible_statistics

ROOT = Path(__file__).parents[2]
PROGRAM = """
from bnlint.reporters.report.formats import FORMATS, Listed
FORMATS["xml"] = Listed("servers", "tests.reporters.toys.xml")  # the line
FORMATS["list"] = Listed("scripts", "tests.reporters.toys.json_list")
from bnlint.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is cut short, a fresh model, and a good one, by name in this order; and an empty folder."""
    place = tmp_path_factory.mktemp("models")
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(model.state_dict(), place / "b&fresh.pt")
    torch.save(with_plausible_statistics(model).state_dict(), place / "c.pt")
    (place / "a.pt").write_bytes((place / "c.pt").read_bytes()[:700])
    (place / "empty").mkdir()
    return place


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "check", *arguments, "--no-config"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("targets", "code", "kinds", "says"),
    [
        (["c.pt"], 0, ["report"], ""),
        (["b&fresh.pt"], 1, ["report"], ""),
        (["a.pt"], 3, ["failure"], "bnlint: `a.pt` is cut short or damaged"),
        (["."], 1, ["failure", "report", "report"], ""),
        (["a.pt", "c.pt"], 3, ["failure", "report"], ""),
    ],
)
def test_a_document_is_whole_whatever_became_of_the_targets(
    folder: Path, targets: list[str], code: int, kinds: list[str], says: str
) -> None:
    ended = check(folder, *targets, "--format", "xml")
    assert ended.returncode == code
    root = ElementTree.fromstring(ended.stdout.encode())
    *results, summary = root
    assert [result.tag for result in results] == kinds
    named = targets if targets != ["."] else ["a.pt", "b&fresh.pt", "c.pt"]
    assert [result.get("target") for result in results] == named
    assert summary.attrib == {"targets": str(len(kinds)), "exit_code": str(code)}
    assert ended.stderr.startswith(says)
    assert ended.stderr.count("\n") == bool(says)


@pytest.mark.parametrize(("targets", "number"), [(["c.pt"], 1), (["a.pt"], 1), (["."], 3)])
def test_results_have_commas_between_them_and_stderr_the_sum(folder: Path, targets: list[str], number: int) -> None:
    ended = check(folder, *targets, "--format", "list")
    assert len(json.loads(ended.stdout)) == number
    assert ("3 models: " in ended.stderr) == (number == 3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["c.pt", "--select", "BN999"], 2), ([".", "--select", "BN999"], 2), (["nowhere.pt"], 2), (["empty"], 3)],
)
def test_a_check_that_cannot_begin_writes_nothing(folder: Path, arguments: list[str], code: int) -> None:
    ended = check(folder, *arguments, "--format", "xml")
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith("bnlint: ")


def test_the_help_names_it(folder: Path) -> None:
    text = " ".join(check(folder, "--help").stdout.split())
    assert "full for people, concise for grep, json for programs, xml for servers, list for scripts." in text
    assert "full|concise|json|xml|list" in text
