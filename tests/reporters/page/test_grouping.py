from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnlint.reporters.page.grouping import expand, group, groups, summarise

path_like = st.from_regex(r"[a-c]{0,2}[0-9]{0,2}(\.[a-c]{0,1}[0-9]{0,2}){0,3}", fullmatch=True)
odd = st.text(alphabet="a1029{}\\,. [](model)", max_size=9)
anything = st.text(max_size=6)
names = st.lists(st.one_of(path_like, odd, anything), max_size=40)


@given(names)
def test_a_group_stands_for_its_names_and_no_others(layers: list[str]) -> None:
    expanded = expand(group(layers))
    assert set(expanded) == set(layers)
    assert len(expanded) == len(set(layers))


@given(names)
def test_sizes_count_every_layer_once(layers: list[str]) -> None:
    assert sum(item.size for item in groups(layers)) == len(set(layers))
    for item in groups(layers):
        assert len(expand(item.text)) == item.size


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([], ""),
        (["bn1"], "bn1"),
        (["bn1", "bn2"], "bn{1,2}"),
        (["bn1", "bn2", "bn3"], "bn{1..3}"),
        (["bn1", "bn2", "bn3", "bn7"], "bn{1..3,7}"),
        (["a.norm", "b.norm"], "{a,b}.norm"),
        (["b.norm", "a.norm"], "{b,a}.norm"),
        (["bn01", "bn02"], "bn{01,02}"),
        ([""], "(model)"),
        (["(model)"], r"\(model)"),
        (["layers[0]", "layers[1]"], "layers[{0,1}]"),
        (["a{1,2}"], r"a\{1\,2\}"),
        (["fc", "bn1"], "fc, bn1"),
        (["norm", "out", "9"], "norm, out, 9"),
        (["x.0", "x.1", "y.0"], "x.{0,1}, y.0"),
    ],
)
def test_notation(layers: list[str], text: str) -> None:
    assert group(layers) == text


def test_resnet_reads_well() -> None:
    layers = ["bn1"]
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            layers += [f"layer{stage}.{block}.bn{index}" for index in (1, 2, 3)]
            layers += [f"layer{stage}.{block}.downsample.1"] if block == 0 else []
    assert len(layers) == 53
    assert group(layers) == (
        "bn1, layer{1,4}.{0..2}.bn{1..3}, layer{1..4}.0.downsample.1, layer2.{0..3}.bn{1..3}, layer3.{0..5}.bn{1..3}"
    )


def test_a_large_model_is_fast_and_short() -> None:
    layers = [f"blocks.{b}.{i}.{n}" for b in range(10) for i in range(10) for n in ("bn1", "bn2", "se.norm")]
    group(layers)
    best = min(_seconds(layers) for _ in range(5))
    assert best < 0.1  # measured at a few milliseconds; the margin is for busy machines
    assert len(group(layers)) < 80


def _seconds(layers: list[str]) -> float:
    start = time.perf_counter()
    group(layers)
    return time.perf_counter() - start


def test_summary_says_how_many_layers_are_left() -> None:
    layers = [f"{letter * 3}.{number}" for letter in "abcdefgh" for number in range(ord(letter) - ord("a") + 1)]
    text = summarise(layers, limit=60)
    shown, left = text.split(" … and ")
    assert len(text) <= 60
    assert int(left.removesuffix(" more")) + len(expand(shown)) == len(layers)


def test_summary_of_few_layers_is_the_group() -> None:
    assert summarise(["bn1", "bn2"], limit=20) == "bn{1,2}"


def test_summary_shows_one_group_however_narrow() -> None:
    assert summarise(["first_layer", "second", "third"], limit=3) == "first_layer … and 2 more"


@pytest.mark.parametrize("text", ["a{1", "a{1,2", "a\\"])
def test_expand_refuses_what_is_not_in_the_notation(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|backslash"):
        expand(text)
