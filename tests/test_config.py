from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from bnlint.config import Config, find_config, read_config, schema_text
from bnlint.errors import UsageError
from bnlint.report import Context, Severity
from bnlint.ruleset.profiles import load_profiles

DOCS = Path(__file__).parents[1] / "docs"

YAML = """\
profile: deploy
context: training
fail_on: error
select: [BN1, BN3]
ignore: [BN302]
rules: [lint/rules]
batch_size: 8
devices: 4
accumulate: 2
dataset_size: 1000
drop_last: true
deploy_dtype: float16
severity:
  BN301: error
options:
  BN301: { minimum_values: 100 }
require: [BN301]
"""

TOML = """\
[project]
name = "detector"

[tool.bnlint]
profile = "deploy"
context = "training"
fail_on = "error"
select = ["BN1", "BN3"]
ignore = ["BN302"]
require = ["BN301"]
rules = ["lint/rules"]
batch_size = 8
devices = 4
accumulate = 2
dataset_size = 1000
drop_last = true
deploy_dtype = "float16"

[tool.bnlint.severity]
BN301 = "error"

[tool.bnlint.options]
BN301.minimum_values = 100
"""

BOTH = pytest.mark.parametrize(("name", "text"), [("bnlint.yaml", YAML), ("pyproject.toml", TOML)])


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder of its own, which is a repository, so that no file above it is found."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@BOTH
def test_every_key_in_both_formats(name: str, text: str) -> None:
    file = read_config(write(name, text))
    assert file.name == name
    assert file.layer.settings == Config(
        profile="deploy",
        context=Context.TRAINING,
        fail_on="error",
        select=("BN1", "BN3"),
        ignore=("BN302",),
        require=("BN301",),
        rules=("lint/rules",),
        batch_size=8,
        devices=4,
        accumulate=2,
        dataset_size=1000,
        drop_last=True,
        deploy_dtype="float16",
        severity={"BN301": Severity.ERROR},
        options={"BN301": {"minimum_values": 100}},
    )
    assert set(Config.__struct_fields__) == set(yaml.safe_load(YAML)), "a key that this test does not try"


@BOTH
def test_folders_of_rules_are_relative_to_the_file(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(f"project/{name}", text)
    assert read_config(file).options.rules == ("project/lint/rules",)
    Path("project/source").mkdir()
    monkeypatch.chdir("project/source")
    found = find_config(Path.cwd())
    assert found is not None
    assert read_config(found).options.rules == ("../lint/rules",)
    assert read_config(found).name == f"../{name}"


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    below = tmp_path / "one" / "two"
    below.mkdir(parents=True)
    assert find_config(below) is None
    outer = tmp_path / write("pyproject.toml", TOML)
    assert find_config(below) == outer
    inner = tmp_path / write("one/bnlint.yml", YAML)
    assert find_config(below) == inner
    write("one/two/pyproject.toml", "[tool.bnlinter]\n")
    assert find_config(below) == inner


def test_yaml_comes_before_toml_in_one_folder(tmp_path: Path) -> None:
    write("pyproject.toml", TOML)
    assert find_config(tmp_path) == tmp_path / "pyproject.toml"
    write("bnlint.yaml", YAML)
    assert find_config(tmp_path) == tmp_path / "bnlint.yaml"


def test_the_search_ends_at_the_repository(tmp_path: Path) -> None:
    write("bnlint.yaml", YAML)
    (tmp_path / "inner" / ".git").mkdir(parents=True)
    assert find_config(tmp_path / "inner") is None


def test_a_broken_project_file_matters_only_if_it_mentions_bnlint(tmp_path: Path) -> None:
    write("pyproject.toml", "[project\n")
    assert find_config(tmp_path) is None
    write("pyproject.toml", "[project\n[tool.bnlint]\n")
    with pytest.raises(UsageError, match=r"^pyproject\.toml is not valid TOML: .*line 1"):
        find_config(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "by", "message"),
    [
        ("fail_on: error", "fail_on: eror", '3: unknown value "eror" of "fail_on"; did you mean "error"?'),
        ("fail_on: error", "failon: error", '3: unknown key "failon"; did you mean "fail_on"?'),
        ("context: training", "context: 3", '2: "context" must be a text or null, not a whole number.'),
        ("[BN1, BN3]", "BN1", '4: "select" must be a list, not a text.'),
        ("[BN1, BN3]", '[BN1, ""]', '4: an item of "select" must not be empty.'),
        ("BN301: error", "BN101: error\n  BN301: eror", '15: unknown value "eror" of "BN301"; did you mean "error"?'),
        ("minimum_values: 100", "minimum_values: few", '16: "minimum_values" must be a number, not a text.'),
        ("{ minimum_values: 100 }", "100", '16: "BN301" must be a mapping, not a whole number.'),
        ("BN301: error", "1: error", '14: the key "1" is not a text for YAML; write it in quotation marks.'),
        ("BN301: error", "BN301: off", '14: "BN301" must be a text, not true or false.'),
        ("batch_size: 8", "batch_size: 0", '7: "batch_size" must be 1 or more.'),
    ],
)
def test_a_mistake_names_file_line_and_nearest_name(wrong: str, by: str, message: str) -> None:
    assert wrong in YAML
    with pytest.raises(UsageError) as caught:
        read_config(write("bnlint.yaml", YAML.replace(wrong, by, 1)))
    assert str(caught.value) == f"bnlint.yaml:{message}"


@pytest.mark.parametrize(
    ("wrong", "by", "message"),
    [
        ('fail_on = "error"', 'fail_on = "eror"', '7: unknown value "eror" of "fail_on"; did you mean "error"?'),
        ('profile = "', 'profil = "', '5: unknown key "profil"; did you mean "profile"?'),
        ('BN301 = "error"', 'BN301 = "eror"', '20: unknown value "eror" of "BN301"; did you mean "error"?'),
        ("values = 100", 'values = "few"', '23: "minimum_values" must be a number, not a text.'),
    ],
)
def test_a_mistake_in_toml_names_the_line_as_well(wrong: str, by: str, message: str) -> None:
    assert wrong in TOML
    with pytest.raises(UsageError) as caught:
        read_config(write("pyproject.toml", TOML.replace(wrong, by, 1)))
    assert str(caught.value) == f"pyproject.toml:{message}"


def test_files_that_are_no_configuration() -> None:
    with pytest.raises(UsageError, match=r"^nowhere\.yaml cannot be read: No such file"):
        read_config("nowhere.yaml")
    with pytest.raises(UsageError, match=r"^nowhere\.toml cannot be read: No such file"):
        read_config("nowhere.toml")
    with pytest.raises(UsageError, match=r"^pyproject\.toml has no table \[tool\.bnlint\]"):
        read_config(write("pyproject.toml", "[project]\n"))
    with pytest.raises(UsageError, match=r"^bnlint\.yaml:1: the key here is not a text for YAML"):
        read_config(write("bnlint.yaml", "? [BN201]\n: info\n"))
    with pytest.raises(UsageError, match=r"^bnlint\.yaml:1: this file must be a mapping, not a list"):
        read_config(write("bnlint.yaml", "- BN201\n"))


def test_the_published_schema_is_not_stale() -> None:
    published = (DOCS / "config-schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "run `make docs`"


def test_the_schema_accepts_what_bnlint_accepts() -> None:
    schema = yaml.safe_load(schema_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(yaml.safe_load(YAML))
    validator.validate(tomllib.loads(TOML)["tool"]["bnlint"])
    assert not validator.is_valid({"failon": "error"})
    assert not validator.is_valid({"severity": {"BN201": "eror"}})
    assert not validator.is_valid({"batch_size": 0})


def test_every_profile_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for name, profile in load_profiles().items():
        assert f"| `{name}` | {profile.summary} |" in page


def test_every_key_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert [key for key in Config.__struct_fields__ if f"`{key}`" not in page] == []
