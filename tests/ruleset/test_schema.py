from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.vocabulary import vocabulary
from bnlint.norms.kinds import NormKind
from bnlint.report import Context
from bnlint.ruleset.load import built_in_folder
from bnlint.ruleset.schema import Example, Sort, rule_schema, schema_text, sort_of
from bnlint.tracing.kinds import How, Role
from tests.ruleset.writing import PLAIN

COPY = Path(__file__).parents[2] / "docs" / "rule-schema.json"


def validator() -> jsonschema.Draft202012Validator:
    schema = rule_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_copy_is_not_stale() -> None:
    command = "run `python -m bnlint.ruleset > docs/rule-schema.json`"
    assert COPY.read_text(encoding="utf-8") == schema_text(), command


@pytest.mark.parametrize("file", sorted(built_in_folder().glob("BN*.yaml")), ids=lambda file: file.stem)
def test_every_rule_file_validates(file: Path) -> None:
    validator().validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("wrong", "by"),
    [
        ("kind: batch_norm", "kindd: batch_norm"),
        ("batch_norm", "batchnorm"),
        ("at_least", "at_leest"),
        ("momentum: { at_least: $default }", "training: { less_than: 3 }"),
        ("momentum: { at_least: $default }", "momentum: {}"),
        ("of: norm", "of: nrom"),
        ("warning", "warnin"),
        ("why: We", "wy: We"),
    ],
)
def test_the_schema_refuses_what_bnlint_refuses(wrong: str, by: str) -> None:
    assert validator().is_valid(yaml.safe_load(PLAIN))
    assert not validator().is_valid(yaml.safe_load(PLAIN.replace(wrong, by)))


def test_every_fact_is_in_the_schema_with_its_documentation() -> None:
    definitions = rule_schema()["$defs"]
    for record, name in ((NormFacts, "NormConditions"), (ModelFacts, "ModelConditions")):
        properties = definitions[name]["properties"]
        assert set(properties) == set(vocabulary(record)) | {"all", "any", "not"}
        for entry in vocabulary(record).values():
            assert properties[entry.name]["description"] == entry.fact.doc


def test_the_sort_of_a_fact_follows_its_type() -> None:
    facts = vocabulary(NormFacts)
    assert {
        name: sort_of(facts[name]) for name in ("kind", "eps", "channels", "training", "fed_by", "input_shape")
    } == {
        "kind": Sort.NAME,
        "eps": Sort.NUMBER,
        "channels": Sort.NUMBER,
        "training": Sort.FLAG,
        "fed_by": Sort.NAMES,
        "input_shape": Sort.SIZES,
    }


def test_the_names_that_facts_can_take_are_those_of_tracing() -> None:
    facts = vocabulary(NormFacts)
    assert set(facts["kind"].fact.values) == {str(kind) for kind in NormKind}
    for name in ("fed_by", "feeds"):
        assert set(facts[name].fact.values) == {str(role) for role in Role}
    assert {str(how) for how in How} <= set(vocabulary(ModelFacts)["graph"].fact.values)


def test_an_example_says_what_it_declares_to_python_and_on_the_command_line() -> None:
    example = Example(
        title="t", code="c", inputs=("2x4",), batch_size=8, dataset_size=65, drop_last=True, dtype="float16",
        context=Context.TRAINING,
    )  # fmt: skip
    assert example.command_line == (
        "--input 2x4 --batch-size 8 --dataset-size 65 --dtype float16 --drop-last --context training"
    )
    assert {name: value for name, value in example.arguments.items() if value} == {
        "inputs": ("2x4",), "batch_size": 8, "dataset_size": 65, "drop_last": True, "deploy_dtype": "float16",
        "context": Context.TRAINING,
    }  # fmt: skip
