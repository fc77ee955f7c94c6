from __future__ import annotations

import dataclasses

import pytest

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.reporters import fact_table
from bnlint.reporters.style import Style

MODEL = ModelFacts(
    class_name="Net",
    form="module",
    training=False,
    norm_layers=4,
    batch_norm_layers=4,
    graph="recorded",
    can_be_traced=True,
)


def layer(name: str, **facts: object) -> NormFacts:
    values = {
        "kind": "batch_norm",
        "training": False,
        "momentum": 0.1,
        "channels": 64,
        "fed_by": frozenset({"convolution", "addition"}),
        "input_shape": (1, 64, 7, 7),
        "batches_counted": None,
    }
    return NormFacts(layer=name, **(values | facts))  # type: ignore[arg-type]


TABLE = FactTable(
    MODEL,
    (layer("stem"), layer("block.0"), layer("block.1", channels=128), layer("block.2", channels=128)),
    frozenset(Need) - {Need.BATCH_SIZE},
)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_what_all_share_is_said_once() -> None:
    text = fact_table.render(TABLE, Style(80))
    assert text.count("momentum=0.1") == 1
    assert "all 4 layers" in text
    assert "fed_by=addition,convolution" in text
    assert "input_shape=1×64×7×7" in text
    assert "batches_counted=none" in text


def test_layers_that_agree_stand_in_one_row() -> None:
    lines = fact_table.render(TABLE, Style(80)).splitlines()
    assert [line.split() for line in lines if line.split()[-1:] in (["64"], ["128"])] == [
        ["stem,", "block.0", "64"],
        ["block.{1,2}", "128"],
    ]


def test_unknown_facts_say_what_would_supply_them() -> None:
    text = flat(fact_table.render(TABLE, Style(120)))
    assert "values_per_channel, batch_size give `--batch-size N`" in text
    assert "values_per_channel=" not in text


def test_a_fact_that_some_layers_lack_is_a_question_mark() -> None:
    mixed = dataclasses.replace(TABLE, norms=(layer("a", channels=3), layer("b", channels=UNKNOWN)))
    lines = [line.split() for line in fact_table.render(mixed, Style(80)).splitlines()]
    assert ["a", "3"] in lines
    assert ["b", "?"] in lines


def test_all_shows_every_fact_of_every_layer() -> None:
    text = fact_table.render_all(TABLE, Style(80))
    assert text.count("momentum=0.1") == 4
    assert text.count("values_per_channel=?") == 4


@pytest.mark.parametrize("width", [80, 120])
def test_three_hundred_layers_stay_readable(width: int) -> None:
    many = tuple(
        layer(f"blocks.{block}.{part}.bn{index}", channels=8 * block, input_shape=(1, 8 * block, 112 >> block % 5, 7))
        for block in range(30)
        for part in range(5)
        for index in (1, 2)
    )
    text = fact_table.render(dataclasses.replace(TABLE, norms=many), Style(width))
    lines = text.splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= width
    assert "blocks.0.{0..4}.bn{1,2}" in text
    assert "and 14 more rows: --all shows every layer" in text


def test_a_model_without_normalisation() -> None:
    text = fact_table.render(dataclasses.replace(TABLE, norms=()), Style(80))
    assert "class_name=Net" in text
    assert "unknown" not in text
