from __future__ import annotations

import dataclasses
import itertools

import pytest

from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import Need
from bnlint.norms.kinds import NormKind
from bnlint.reporters.facts import listing as fact_list
from bnlint.reporters.facts import table as fact_table
from bnlint.reporters.page.style import Style

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


def render(*norms: NormFacts, width: int = 80, colour: bool = False) -> str:
    return fact_table.render(dataclasses.replace(TABLE, norms=norms), Style(width, colour))


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def section(text: str, start: str) -> str:
    """The paragraph that begins with a text."""
    (found,) = [part for part in text.split("\n\n") if part.startswith(start)]
    return found


def test_what_all_share_is_said_once() -> None:
    text = fact_table.render(TABLE, Style(80))
    assert text.count("momentum=0.1") == 1
    assert "batch_norm · 4 layers" in text
    assert "fed_by=addition,convolution" in text
    assert "input_shape=1×64×7×7" in text
    assert "batches_counted=none" in text


def test_layers_that_agree_stand_in_one_row_with_their_number() -> None:
    text = fact_table.render(TABLE, Style(80))
    assert ["channels", "64", "2", "stem,", "block.0"] in rows(text)
    assert ["128", "2", "block.{1,2}"] in rows(text)


def test_the_model_comes_first_and_then_what_is_not_ordinary() -> None:
    norms = [layer(f"block.{index}") for index in range(20)]
    norms[3] = layer("block.3", training=True, momentum=0.9)
    norms[7] = layer("block.7", training=True)
    norms[9] = layer("block.9", momentum=0.9)
    parts = [part.splitlines()[0] for part in render(*norms).split("\n\n")]
    assert parts[:3] == ["model", "not ordinary · 3 of 20 layers", "batch_norm · 20 layers"]
    assert rows(section(render(*norms), "not ordinary"))[1:] == [
        ["block.{3,7}"],
        ["training", "true", "ordinary:", "false"],
        ["block.{3,9}"],
        ["momentum", "0.9", "ordinary:", "0.1", "(18", "of", "20)"],
    ]


def test_facts_of_the_same_layers_stand_together() -> None:
    norms = [*(layer(f"block.{index}") for index in range(20)), layer("odd", training=True, momentum=0.9)]
    lines = rows(section(render(*norms), "not ordinary"))
    assert [line[0] for line in lines[1:]] == ["odd", "training", "momentum"]


def test_what_is_not_ordinary_is_not_among_what_the_others_share() -> None:
    norms = [*(layer(f"block.{index}") for index in range(20)), layer("odd", momentum=0.9)]
    ordinary = section(render(*norms), "batch_norm")
    assert "but for the above: momentum=0.1" in ordinary
    assert "0.9" not in ordinary


def test_all_layers_out_of_the_ordinary_are_named_as_all() -> None:
    text = render(layer("a", training=True), layer("b", training=True))
    assert "not ordinary · 2 of 2 layers\n  all 2 layers\n    training" in text
    assert "training=" not in section(text, "batch_norm").replace("model_training=", "")


def test_nothing_out_of_the_ordinary_is_said_only_of_what_is_known() -> None:
    assert "not ordinary · nothing, among the facts that are known" in render(layer("a"), layer("b"))


def test_kinds_are_shown_apart() -> None:
    text = render(layer("bn", momentum=0.1), layer("ln", kind="layer_norm", momentum=None))
    assert "momentum=0.1" in section(text, "batch_norm · 1 layer")
    assert "momentum=none" in section(text, "layer_norm · 1 layer")


def test_a_layer_that_is_called_twice_has_two_records() -> None:
    assert "batch_norm · 2 layers, 3 records" in render(layer("a"), layer("b"), layer("b"))


def test_many_numbers_are_a_range_and_what_has_no_number_is_named() -> None:
    norms = [layer(f"n{index}", channels=2**index) for index in range(10)]
    text = render(*norms, layer("odd", channels=None))
    assert ["channels", "1", "…", "512", "10", "n{0..9}"] in rows(text)
    assert ["none", "1", "odd"] in rows(text)


def test_many_values_are_counted_but_for_the_most_frequent() -> None:
    norms = [layer(f"n{index}", input_shape=(1, max(index, 3))) for index in range(10)]
    text = render(*norms)
    assert ["input_shape", "1×3", "4", "n{0..3}"] in rows(text)
    assert ["6", "other", "values", "6", "n{4..9}"] in rows(text)
    assert "3 different values" not in text


def test_unknown_facts_say_what_would_supply_them() -> None:
    text = fact_table.render(TABLE, Style(120))
    (names,) = [
        above
        for above, line in itertools.pairwise(section(text, "unknown").splitlines())
        if line == f"    {Need.BATCH_SIZE.value}"
    ]
    assert {"values_per_channel,", "batch_size,"} <= {f"{name.strip(',')}," for name in names.split()}
    assert "values_per_channel=" not in text


def test_a_fact_that_some_layers_lack_is_a_question_mark() -> None:
    text = render(layer("a", channels=3), layer("b", channels=UNKNOWN))
    assert ["channels", "3", "1", "a"] in rows(text)
    assert ["?", "1", "b"] in rows(text)


def test_all_shows_every_fact_of_every_layer() -> None:
    text = fact_list.render(TABLE, Style(80))
    assert text.count("momentum=0.1") == 4
    assert text.count("values_per_channel=?") == 4


def big(width: int) -> str:
    norms = [
        layer(
            f"blocks.{block}.{part}.bn{index}",
            channels=8 * block,
            input_shape=(1, 8 * block, 112 >> block % 5, 7),
            training=block == 7,
            class_name=f"Own{block}" if block < 3 and part == 0 else "BatchNorm2d",
            fold_obstacle="a long sentence that says why this layer cannot be folded" if block == 9 else None,
        )
        for block in range(30)
        for part in range(5)
        for index in (1, 2)
    ]
    return render(*norms, width=width)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_three_hundred_layers_fit_the_page(width: int) -> None:
    lines = big(width).splitlines()
    assert len(lines) < (90 if width >= 80 else 150)
    assert max(map(len, lines)) <= width


def test_three_hundred_layers_are_grouped() -> None:
    text = section(big(80), "not ordinary")
    assert "blocks.7.{0..4}.bn{1,2}\n    training" in text
    assert "ordinary: BatchNorm2d (294 of 300)" in text


def test_more_faults_than_a_page_holds_are_counted() -> None:
    odd = [{"momentum": 0.9}, {"eps": 1.0}, {"class_name": "Own"}, {"dtype": "float16"}]
    usual = {"momentum": 0.1, "eps": 1e-5, "class_name": "Norm", "dtype": "float32"}
    norms = [
        layer(f"{kind}.{index}", **(usual | {"kind": kind} | (odd[index] if index < 4 else {})))
        for kind in tuple(map(str, NormKind))[:5]
        for index in range(40)
    ]
    text = section(render(*norms), "not ordinary")
    assert text.startswith("not ordinary · 20 of 200 layers")
    assert text.count("ordinary: ") == 16
    assert text.rstrip().endswith("and more of 4 layers: --all shows every fact")


def test_numbers_end_at_the_same_column() -> None:
    norms = [*(layer(f"n{index}", channels=3) for index in range(12)), layer("b", channels=4)]
    lines = render(*norms).splitlines()
    many = next(line for line in lines if "channels" in line)
    few = lines[lines.index(many) + 1]
    assert many.index("12") + 2 == few.index(" 1 ") + 2


def test_colours_only_where_they_are_wanted() -> None:
    norms = [*(layer(f"n{index}") for index in range(3)), layer("b", training=True)]
    assert "\x1b[" not in render(*norms)
    assert "\x1b[33m" in render(*norms, colour=True)


def test_a_hostile_name_breaks_no_line() -> None:
    norms = [layer("a\nb\x1b[31m", training=True), layer("c")]
    text = render(*norms)
    assert "\x1b" not in text
    assert "a\\nb\\x1b[31m" in text


def test_a_model_without_normalisation() -> None:
    text = render()
    assert "class_name=Net" in text
    assert "No normalisation layer was found." in text
    assert "not ordinary" not in text
