from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bnlint import __version__
from tests.cli.conftest import Run

LIGHT = (["--help"], ["check", "--help"], ["--version"], ["rules"], ["facts"], ["explain", "BN501"])


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_leave_torch_alone(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from bnlint.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "sys.exit(code or ('torch' in sys.modules) * 77)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout


def test_help_imports_neither_rich_nor_msgspec() -> None:
    program = (
        "import sys\n"
        "from bnlint.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    sys.exit(77 if {'rich', 'msgspec', 'yaml'} & set(sys.modules) else 0)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, "--help"], stdout=subprocess.DEVNULL, check=False).returncode
        == 0
    )


def test_no_argument_prints_help(run: Run) -> None:
    ended = run()
    assert ended.code == 0
    assert ended.out == run("--help").out
    assert ended.out.startswith("Usage: bnlint [OPTIONS] COMMAND")


def test_the_module_is_the_program() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bnlint", "check", "--help"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("Usage: bnlint check [OPTIONS] TARGET")


def test_version(run: Run) -> None:
    assert run("--version").out == f"bnlint {__version__}\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = f"{sys.executable} -m bnlint facts | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "0"
    assert ended.stderr == ""


def test_a_closed_pipe_does_not_hide_the_exit_code() -> None:
    program = (
        "import os, sys, types, bnlint\n"
        "from tests.cli.conftest import returns\n"
        "from tests.reporters.reports import full_report\n"
        "module = types.ModuleType('bnlint.linter')\n"
        "module.check = returns(full_report())\n"
        "sys.modules['bnlint.linter'] = bnlint.linter = module\n"
        "sys.argv = ['bnlint', 'check', 'a.pt', '--format', 'concise']\n"
        "from bnlint.cli.main import main\n"
        "main()"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert ended.returncode == 1
    assert ended.stderr == f"bnlint: {full_report_sentence()}\n"


def full_report_sentence() -> str:
    from tests.reporters.reports import full_report

    return full_report().unanalysed[0]


def test_rules_lists_every_rule_with_its_severity(run: Run) -> None:
    from bnlint.ruleset import load_rules

    text = run("rules").out
    for rule in load_rules():
        assert f"{rule.code}  {rule.severity:<9}{rule.name}\n" in text


@pytest.mark.parametrize("name", ["BN501", "never-updated-statistics"])
def test_explain_says_everything_by_code_or_name(run: Run, name: str) -> None:
    from bnlint.ruleset import find_rule, load_rules

    rule = find_rule(load_rules(), "BN501")
    text = " ".join(run("explain", name).out.split())
    for part in (rule.code, rule.name, rule.severity, rule.summary, rule.why, rule.fix, *rule.references):
        assert " ".join(part.split()) in text
    for example in (*rule.examples.bad, *rule.examples.good):
        assert " ".join(example.code.split()) in text
        assert example.title in text
    assert "statistics_at_initial_values is true" in text


def test_explain_offers_the_nearest_rule(run: Run) -> None:
    ended = run("explain", "never-updated-statistic")
    assert (ended.code, ended.out) == (2, "")
    assert "never-updated-statistics" in ended.err


def test_facts_tells_every_fact_and_every_need(run: Run) -> None:
    from bnlint.facts.records import ModelFacts, NormFacts
    from bnlint.facts.vocabulary import Need, vocabulary

    text = " ".join(run("facts").out.split())
    for record in (NormFacts, ModelFacts):
        for name, entry in vocabulary(record).items():
            assert f" {name} " in text
            assert " ".join(entry.fact.doc.split()) in text
    for need in Need:
        assert need.value in text


@pytest.mark.parametrize("command", [(), ("fold",), ("verify",)])
def test_examples_in_the_help_stand_on_lines_of_their_own(run: Run, command: tuple[str, ...]) -> None:
    text = run(*command, "--help").out
    examples = [line for line in text.splitlines() if line.startswith("    bnlint ")]
    assert len(examples) >= 2
    assert "\\b" not in text
