from __future__ import annotations

from bnlint.facts.ordinary import unusual
from bnlint.facts.records import NormFacts


def layer(name: str, kind: str = "batch_norm", **facts: object) -> NormFacts:
    return NormFacts(layer=name, kind=kind, **facts)  # type: ignore[arg-type]


def many(number: int, kind: str = "batch_norm", **facts: object) -> list[NormFacts]:
    return [layer(f"{kind}{index}", kind, **facts) for index in range(number)]


def found(records: list[NormFacts]) -> dict[str, list[str]]:
    return {item.entry.name: [record.layer for record in item.records] for item in unusual(records)}


def test_a_declared_value_is_not_ordinary_even_if_all_layers_have_it() -> None:
    assert found(many(3, training=True)) == {"training": ["batch_norm0", "batch_norm1", "batch_norm2"]}


def test_a_value_unlike_that_of_nine_in_ten_is_not_ordinary() -> None:
    assert found([*many(9, momentum=0.1), layer("odd", momentum=0.9)]) == {"momentum": ["odd"]}


def test_without_a_common_value_nothing_stands_out() -> None:
    assert found([*many(8, momentum=0.1), layer("odd", momentum=0.9)]) == {}


def test_layers_are_compared_with_their_own_kind() -> None:
    assert found([*many(10, momentum=0.1, eps=1e-5), *many(1, "layer_norm", momentum=None, eps=1e-6)]) == {}


def test_values_ordinary_of_one_kind_do_not_bind_another() -> None:
    layers = [*many(2, uses_batch_statistics=True), *many(2, "layer_norm", uses_batch_statistics=True)]
    assert found(layers) == {"uses_batch_statistics": ["batch_norm0", "batch_norm1"]}


def test_unknown_is_neither_ordinary_nor_counted() -> None:
    records = [*many(9, momentum=0.1), layer("odd", momentum=0.9), *(layer(f"unseen{index}") for index in range(5))]
    (item,) = unusual(records)
    assert (len(item.peers), [record.layer for record in item.records]) == (10, ["odd"])


def test_layers_may_differ_in_what_varies_by_design() -> None:
    assert found([*many(9, input_shape=(1, 8), channels=8), layer("odd", input_shape=(1, 9), channels=9)]) == {}


def test_declared_facts_come_before_common_ones() -> None:
    records = [*many(9, class_name="BatchNorm2d", calls=1), layer("odd", class_name="Own", calls=2)]
    assert list(found(records)) == ["calls", "class_name"]
