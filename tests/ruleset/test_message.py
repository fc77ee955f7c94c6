from __future__ import annotations

from typing import Any

import pytest

from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.ruleset.message import parse_message, summarise

FACTS = ("kind", "eps", "channels")


def fill(text: str, *records: NormFacts, count: int = 1) -> str:
    return parse_message(text, FACTS, {"minimum": 784}).fill(records, count)


def norm(**facts: Any) -> NormFacts:
    return NormFacts(layer="bn", kind="batch_norm", **facts)


def test_count_with_its_noun() -> None:
    assert fill("{count:layer}", norm()) == "1 layer"
    assert fill("{count:layer}", norm(), count=1053) == "1,053 layers"
    assert fill("{count} of them", norm(), count=3) == "3 of them"


def test_the_total_of_a_fact_over_the_records() -> None:
    assert fill("{channels:total} in all", norm(channels=1200), norm(channels=34.5)) == "1,230 in all"
    assert fill("{channels:total} in all", norm(channels=3), norm(channels=None)) == "3 in all"
    assert fill("{channels:total} in all", norm(channels=3), norm()) == "unknown in all"
    with pytest.raises(ValueError, match="unknown option"):
        fill("{$minimum:total}", norm())


def test_facts_options_and_braces() -> None:
    assert fill("{{{kind}}} below {$minimum}", norm()) == "{batch_norm} below 784"
    assert fill("eps {eps}", norm(eps=1e-05)) == "eps 1e-05"
    assert fill("eps {eps}", norm()) == "eps unknown"


def test_a_message_knows_its_facts() -> None:
    assert parse_message("{eps} {count} {$minimum} {kind} {eps}", FACTS, {"minimum": 1}).facts == ("eps", "kind")


@pytest.mark.parametrize(
    ("values", "phrase"),
    [
        ([7], "7"),
        ([7, 7], "7"),
        ([49, 1, 7], "1 to 49"),
        ([196, 3136], "196 to 3,136"),
        (["b", "a", "c"], "a, b or c"),
        ([None], "null"),
        ([4, None], "4 or null"),
        ([4, 8, UNKNOWN], "4 to 8 or unknown"),
        ([True, False], "false or true"),
        ([frozenset({"b", "a"})], "a and b"),
        ([frozenset({"b", "a"}), frozenset({"c"})], "a, b or c"),
        ([frozenset()], "nothing"),
        ([frozenset({"a"}), frozenset()], "a"),
        ([(1, 3, 8, 8)], "1×3×8×8"),
        ([0.1, 0.5], "0.1 to 0.5"),
    ],
)
def test_values_that_differ_are_a_range_or_a_list(values: list[Any], phrase: str) -> None:
    assert summarise(values) == phrase


@pytest.mark.parametrize("text", ["{epz}", "{eps!r}", "{eps:.2f}", "{0}", "{}", "{eps.real}", "{$eps}", "{eps", "eps}"])
def test_other_braces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the message"):
        parse_message(text, FACTS, {})
