from __future__ import annotations

from pathlib import Path

import pytest

from bnlint.errors import RuleFileError
from bnlint.report import Context, Severity
from bnlint.ruleset.conditions import Comparison, Every, Negation, Some
from bnlint.ruleset.rule_file import read_rule
from tests.ruleset.writing import PLAIN, write


def error_in(tmp_path: Path, text: str) -> str:
    with pytest.raises(RuleFileError) as caught:
        read_rule(write(tmp_path, text), "rule.yaml")
    return str(caught.value)


def test_a_plain_rule(tmp_path: Path) -> None:
    rule = read_rule(write(tmp_path), "rule.yaml")
    assert (rule.code, rule.name, rule.of, rule.severity) == (
        "ACME001",
        "momentum-left-at-default",
        "norm",
        Severity.WARNING,
    )
    assert rule.contexts == (Context.INFERENCE, Context.TRAINING)
    assert rule.when == Every(
        (Comparison("kind", "equals", "batch_norm"), Comparison("momentum", "at_least", 0.1, "default"))
    )
    assert rule.facts == ("kind", "momentum")
    assert rule.fix == "Set `momentum`."


def test_conditions_nest_and_keep_their_order(tmp_path: Path) -> None:
    when = """\
when:
  any:
    - feeds: { has: [linear, activation], lacks: input }
    - not: { fed_by: { has: linear } }
    - all:
        - momentum: null
        - eps: 1e-5
  channels: { more_than: 3, in: [4, 8] }
"""
    start, end = PLAIN.index("when:"), PLAIN.index("message:")
    rule = read_rule(write(tmp_path, PLAIN[:start] + when + PLAIN[end:]), "rule.yaml")
    assert rule.when == Every((
        Some((
            Every((
                Comparison("feeds", "has", frozenset({"linear", "activation"})),
                Comparison("feeds", "lacks", frozenset({"input"})),
            )),
            Negation(Comparison("fed_by", "has", frozenset({"linear"}))),
            Every((Comparison("momentum", "equals", None), Comparison("eps", "equals", 1e-5))),
        )),
        Comparison("channels", "more_than", 3),
        Comparison("channels", "in", frozenset({4, 8})),
    ))  # fmt: skip
    assert rule.facts == ("feeds", "fed_by", "momentum", "eps", "channels")


@pytest.mark.parametrize(
    ("wrong", "by", "message"),
    [
        ("summary:", "sumary:", '3: unknown key "sumary"; did you mean "summary"?'),
        ("  kind: batch_norm", "  kindd: batch_norm", '9: unknown fact "kindd"; did you mean "kind"?'),
        ("  kind: batch_norm", "  traning: true", '9: unknown fact "traning"; did you mean "training"?'),
        ("  kind: batch_norm", "  xyzzy: true", '9: unknown fact "xyzzy"; `bnlint facts` lists them.'),
        ("  kind: batch_norm", "  graph: none", '9: "graph" is a fact of: model, and this rule is of: norm.'),
        ("batch_norm", "batchnorm", '9: unknown value "batchnorm" of "kind"; did you mean "batch_norm"?'),
        (
            "kind: batch_norm",
            "kind: { in: [layer_norm, batchnorm] }",
            '9: unknown value "batchnorm" of "kind"; did you mean "batch_norm"?',
        ),
        (
            "kind: batch_norm",
            "fed_by: { has: activations }",
            '9: unknown value "activations" of "fed_by"; did you mean "activation"?',
        ),
        ("at_least", "at_leest", '10: unknown operator "at_leest" for "momentum"; did you mean "at_least"?'),
        (
            "kind: batch_norm",
            "fed_by: { less_than: 3 }",
            '9: the operator "less_than" does not suit "fed_by", which is a set of names; use has, lacks, only or'
            " empty.",
        ),
        (
            "kind: batch_norm",
            "training: { less_than: 3 }",
            '9: "training" is true or false, which a mapping does not suit; it takes no operators.',
        ),
        ("kind: batch_norm", "training: 1", '9: "training" is true or false, which a whole number does not suit;'),
        (
            "kind: batch_norm",
            "channels: four",
            '9: "channels" is a number, which a text does not suit; use in, not_in, less_than, at_most, more_than or'
            " at_least.",
        ),
        ("$default }", "$defualt }", '10: unknown option "$defualt"; did you mean "$default"?'),
        ("$default }", "default }", '10: "at_least" must be a number, or an option of the rule such as $minimum.'),
        ("warning", "warnin", '4: unknown value "warnin" of "severity"; did you mean "warning"?'),
        ("[inference,", "[inferense,", '5: unknown value "inferense" of "contexts"; did you mean "inference"?'),
        ("of: norm", "of: nrom", '6: unknown record "nrom"; did you mean "norm"?'),
        ("of: norm\n", "", '1: the key "of" is missing: norm or model.'),
        ("why: We choose it for each project.\n", "", '1: the key "why" is missing.'),
        ("{momentum}", "{momentun}", '11: the message names an unknown fact "momentun"; did you mean "momentum"?'),
        ("{momentum}", "{$defalt}", '11: the message names an unknown option "$defalt"; did you mean "$default"?'),
        ("{momentum}", "{momentum", "11: the message has a brace too few or too many"),
        ("ACME001", "acme1", '1: "code" has the wrong form: it is two capital letters or more'),
        ("{ default: 0.1 }", "{ default: often }", '7: "default" must be a number, not a text.'),
        ("fix: Set", "name: twice\nfix: Set", '13: the key "name" stands here a second time.'),
        (
            "  kind: batch_norm",
            "  kind: batch_norm\n  kind: layer_norm",
            '10: the key "kind" stands here a second time.',
        ),
        ("kind: batch_norm", "any: []", '9: "any" must not be empty.'),
        ("kind: batch_norm", "not: {}", '9: "not" is empty: it would always hold.'),
        ("kind: batch_norm", "eps: {}", '9: "eps" has no operator: it would always hold.'),
        ("kind: batch_norm", "kind: [", "11: not valid YAML:"),
        (
            "kind: batch_norm",
            "kind: !!python/name:os.system",
            "9: the tag `!!python/name:os.system` cannot be used here.",
        ),
        ("{ default: 0.1 }", "&a { default: 0.1 }\nexamples: *a", "anchors and aliases cannot be used here."),
    ],
)
def test_a_mistake_names_the_line_and_the_nearest_right_name(tmp_path: Path, wrong: str, by: str, message: str) -> None:
    assert wrong in PLAIN
    error = error_in(tmp_path, PLAIN.replace(wrong, by, 1))
    assert error.startswith("rule.yaml:")
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "- a list\n", "a text\n", "\0", "[" * 10_000, "1: 2\nof: norm\n"]
)
def test_what_is_no_rule_at_all_is_one_sentence(tmp_path: Path, text: str) -> None:
    error = error_in(tmp_path, text)
    assert error.startswith("rule.yaml")
    assert "\n" not in error


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RuleFileError, match="it is not UTF-8 text"):
        read_rule(file, "rule.yaml")


def test_an_example_must_say_on_which_layers_the_rule_finds_something(tmp_path: Path) -> None:
    examples = "examples:\n  bad:\n    - title: Bad\n      code: model = nn.BatchNorm1d(2)\n"
    assert "rule.yaml:16: bad examples of a rule of: norm must name the `layers`" in error_in(
        tmp_path, PLAIN + examples
    )
