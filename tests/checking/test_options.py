"""The options of a check stand in one record; all that is shown of them, and all that takes them, is made of it."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import bnlint
from bnlint.checking.option import option
from bnlint.checking.options import CheckOptions, ContextName, SeverityName
from bnlint.checking.signature import takes_options
from bnlint.cli.options import options_on
from bnlint.config import Config, config_type, read_config, schema_text
from bnlint.errors import UsageError
from bnlint.facts.gains import DEPLOYMENT_DTYPES
from bnlint.report import Context, Severity
from docs import option_keywords, option_table
from tests.models import with_plausible_statistics

ROOT = Path(bnlint.__file__).parents[1]


class WithColour(CheckOptions):
    """The options, and one more."""

    colour: str | None = option(
        "judging",
        "Which colour the report has.",
        default=None,
        help="The colour of the report.",
        form="choice",
        choices=("red", "green"),
        example="red",
        in_file=True,
    )


def test_a_new_option_is_in_the_help_and_arrives_under_its_name() -> None:
    arrived: dict[str, Any] = {}

    @click.command()
    @options_on("judging", record=WithColour)
    def command(**given: Any) -> None:
        arrived.update(given)

    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--colour [red|green] The colour of the report." in text
    assert CliRunner().invoke(command, ["--colour", "green"]).exit_code == 0
    assert arrived["colour"] == "green"
    assert CliRunner().invoke(command, ["--colour", "blue"]).exit_code == 2


def test_a_new_option_is_in_the_signature_and_the_documentation() -> None:
    @takes_options(WithColour.entries.values())
    def function(target: str, **options: object) -> None:
        """Do it.

        Args:
            target: What to do it to.
            **options: The options.

        Returns:
            Nothing.
        """

    colour = inspect.signature(function).parameters["colour"]
    assert (colour.kind, colour.default, colour.annotation) == (inspect.Parameter.KEYWORD_ONLY, None, "str | None")
    text = inspect.getdoc(function) or ""
    assert "\n    colour: Which colour the report has.\n\nReturns:\n" in text
    assert "**options" not in text


def test_a_new_option_is_in_the_configuration_file_and_in_its_schema() -> None:
    kind = config_type(WithColour)
    assert msgspec.convert({"colour": "red", "batch_size": 2}, kind).colour == "red"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"colour": "blue"}, kind)
    described = json.loads(schema_text(WithColour))["$defs"]["Config"]["properties"]["colour"]
    assert described["description"] == "Which colour the report has."
    assert {"enum": ["green", "red"]} in described["anyOf"]


def test_a_new_option_is_in_the_table_and_in_the_keywords() -> None:
    row = '| `colour` | `--colour red` | `colour="red"` | Which colour the report has. |'
    assert row in option_table.page(WithColour).splitlines()
    assert row not in option_table.page().splitlines()
    lines = option_keywords.keywords_text(WithColour).splitlines()
    assert lines[lines.index("    colour: str | None") + 1] == '    """Which colour the report has."""'


def test_what_the_file_sets_counts_where_the_argument_does_not() -> None:
    file, given = WithColour(colour="red", batch_size=2), WithColour(batch_size=4, drop_last=False)
    merged = given.over(file)
    assert (merged.colour, merged.batch_size, merged.drop_last) == ("red", 4, False)


COLOUR = """
    colour: str | None = option(
        "judging", "Which colour the report has.", default=None, form="text", example="red", in_file=True
    )
"""
USE = """
    if merged.colour:
        raise UsageError(merged.colour)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of bnlint with a field more in the record, a line that uses it, and nothing else."""
    shutil.copytree(ROOT / "bnlint", tmp_path / "bnlint", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rules").symlink_to(ROOT / "rules")
    record, user = tmp_path / "bnlint/checking/options.py", tmp_path / "bnlint/resolve.py"
    end = "\n    @property\n    def setup(self)"
    for file, old, new in (
        (record, end, COLOUR + end),
        (
            user,
            "    return Resolved(\n",
            "    if merged.colour:\n        raise UsageError(merged.colour)\n    return Resolved(\n",
        ),
    ):
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    save_file(with_plausible_statistics(model).state_dict(), tmp_path / "a.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [
        "from bnlint.cli.main import main; sys.argv[1:] = ['check', 'a.safetensors', '--colour', 'red']; main()",
        "from bnlint.cli.main import main; sys.argv[1:] = ['check', 'a.safetensors', '.', '--colour', 'red']; main()",
        "from bnlint.cli.main import main; sys.argv[1:] = ['check', 'a.safetensors', '--config', 'f.yaml']; main()",
        "from bnlint.cli.main import main; sys.argv[1:] = ['rules', '--config', 'f.yaml']; main()",
        "import bnlint; bnlint.check('a.safetensors', colour='red')",
        "import bnlint; bnlint.check('a.safetensors', config='f.yaml')",
        "import bnlint; next(iter(bnlint.check_files(['a.safetensors'], colour='red')))",
    ],
)
def test_an_option_is_added_by_its_field_and_by_what_uses_it(copy: Path, program: str) -> None:
    (copy / "f.yaml").write_text("colour: red\n")
    command = [sys.executable, "-c", f"import sys; {program}"]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(copy)}, cwd=copy, capture_output=True, text=True, check=False
    )
    assert ended.returncode in (1, 2)
    assert ended.stderr.splitlines()[-1] in ("bnlint: red", "bnlint.errors.UsageError: red")


def test_what_is_written_from_the_record_is_not_stale() -> None:
    assert option_keywords.FILE.read_text(encoding="utf-8") == option_keywords.keywords_text(), "run `make docs`"
    assert option_table.PAGE.read_text(encoding="utf-8") == option_table.page(), "run `make docs`"


@pytest.mark.parametrize("function", [bnlint.check, bnlint.inspect, bnlint.check_files])
def test_help_shows_each_keyword_with_its_documentation(function: Callable[..., Any]) -> None:
    text = " ".join((inspect.getdoc(function) or "").split())
    shown = [name for name in inspect.signature(function).parameters if name in CheckOptions.entries]
    assert len(shown) > 15
    for name in shown:
        assert f" {name}: {CheckOptions.entries[name].doc}" in text


@pytest.mark.parametrize("name", CheckOptions.entries)
def test_every_option_is_documented_and_has_an_example_where_it_can_be_written(name: str) -> None:
    about = CheckOptions.entries[name]
    for text in (about.doc, about.help or about.doc):
        assert text[0].isupper()
        assert text.endswith(".")
    assert (about.example is None) == (about.form is None)
    assert not about.in_file or name in Config.__struct_fields__


def test_the_words_of_a_choice_are_those_of_its_type() -> None:
    assert set(get_args(ContextName)) == {item.value for item in Context}
    assert set(get_args(SeverityName)) == {item.value for item in Severity}
    assert set(CheckOptions.entries["deploy_dtype"].choices) == set(DEPLOYMENT_DTYPES)


@pytest.mark.parametrize(
    ("function", "given", "says"),
    [
        (bnlint.check, {"inptus": 1}, 'There is no option `inptus`. Did you mean "inputs"?'),
        (bnlint.check, {"zzzzzz": 1}, "There is no option `zzzzzz`. There are inputs, weights, key"),
        (bnlint.inspect, {"batchsize": 1}, 'There is no option `batchsize`. Did you mean "batch_size"?'),
        (bnlint.inspect, {"select": "BN5"}, "`select` is about rules, and `inspect` applies none. There are inputs,"),
        (bnlint.check_files, {"selct": "BN5"}, 'There is no option `selct`. Did you mean "select"?'),
        (bnlint.check_files, {"loader": []}, "`loader` does not apply to many models. There are inputs, key, allow"),
    ],
)
def test_a_wrong_keyword_is_said_with_the_nearest_right_one(
    function: Callable[..., Any], given: dict[str, Any], says: str
) -> None:
    for kind in (UsageError, TypeError):
        with pytest.raises(kind) as caught:
            list(function("nowhere.pt", **given))
        assert str(caught.value).startswith(says)


def test_names_that_can_be_read_only_once_are_all_read() -> None:
    def codes() -> Iterator[str]:
        yield from ("BN501", "BN101")

    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    report = bnlint.check(model.eval(), inputs="2x3x4x4", select=codes(), require=codes())
    assert [finding.code for finding in report.findings] == ["BN501"]
    assert report.passed == ("BN101",)
    for one in ("BN501", ["BN501"], ("BN501",)):
        assert CheckOptions(select=one).select == ("BN501",)


def test_a_number_that_cannot_be_is_said_before_anything_is_read() -> None:
    for function in (bnlint.check, bnlint.inspect):
        with pytest.raises(UsageError, match="The batch size is 0, but"):
            function("nowhere.pt", batch_size=0)
        with pytest.raises(UsageError, match="There is no deployment data type 'float64'"):
            function("nowhere.pt", deploy_dtype=torch.float64)


def test_what_is_asked_for_can_be_sent_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "bnlint.yaml").write_text("batch_size: 8\nseverity: { BN201: error }\n")
    options = CheckOptions(config=read_config(tmp_path / "bnlint.yaml"), select=["BN5"])
    again = pickle.loads(pickle.dumps(options))
    assert vars(again) | {"config": None} == vars(options) | {"config": None}
    assert again.config.options.batch_size == 8
    assert again.config.layer.settings == options.config.layer.settings  # type: ignore[union-attr]
