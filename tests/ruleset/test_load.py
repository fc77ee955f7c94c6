from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bnlint.errors import RuleFileError
from bnlint.ruleset import load_rules
from tests.ruleset.writing import PLAIN, write


def test_the_rules_of_the_mission_are_there_and_sorted() -> None:
    codes = [rule.code for rule in load_rules()]
    assert codes == sorted(codes)
    assert {"BN101", "BN102", "BN201", "BN301", "BN302", "BN401", "BN501"} <= set(codes)


def test_rule_files_are_named_after_their_code() -> None:
    for rule in load_rules():
        assert rule.source == f"rules/{rule.code}.yaml"


def test_a_folder_adds_rules(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, "one.yaml")
    write(tmp_path, PLAIN.replace("ACME001", "ACME002").replace("momentum-left", "left"), "two.yml")
    write(tmp_path, "not a rule", "notes.txt")
    extra = {rule.code for rule in load_rules([tmp_path])} - {rule.code for rule in load_rules()}
    assert extra == {"ACME001", "ACME002"}


def test_a_missing_an_empty_and_a_false_folder(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="There is no folder of rules"):
        load_rules([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuleFileError, match="holds no rule file"):
        load_rules([tmp_path / "empty"])
    with pytest.raises(RuleFileError, match="is not a folder"):
        load_rules([write(tmp_path)])


def test_a_code_of_bnlint_is_refused(tmp_path: Path) -> None:
    write(tmp_path, PLAIN.replace("ACME001", "BN999"))
    with pytest.raises(RuleFileError, match=r"rule\.yaml: the code BN999 begins with BN, which is for bnlint's own"):
        load_rules([tmp_path])


@pytest.mark.parametrize(
    ("second", "word"),
    [
        (PLAIN.replace("momentum-left-at-default", "other"), "code: ACME001"),
        (PLAIN.replace("ACME001", "ACME002"), "name: momentum-left-at-default"),
    ],
)
def test_a_code_or_name_that_two_files_have(tmp_path: Path, second: str, word: str) -> None:
    write(tmp_path, PLAIN, "one.yaml")
    write(tmp_path, second, "two.yaml")
    with pytest.raises(RuleFileError, match=rf"two\.yaml and .*one\.yaml have the same {word}"):
        load_rules([tmp_path])


def test_a_name_of_bnlint_is_taken(tmp_path: Path) -> None:
    write(tmp_path, PLAIN.replace("momentum-left-at-default", "never-updated-statistics"))
    with pytest.raises(RuleFileError, match=r"rules/BN501\.yaml have the same name"):
        load_rules([tmp_path])


def test_rules_are_loaded_and_explained_without_torch() -> None:
    code = "import sys, bnlint.ruleset as r; r.load_rules(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
