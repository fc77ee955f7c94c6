"""What strange files cost: time grows with their size and no faster, or there is a limit with a sentence."""

from __future__ import annotations

import io
import pickle
import statistics
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import pytest
import torch

import bnlint
from bnlint.artifacts.inert.machine import read_pickle
from bnlint.artifacts.names import common_prefix, strip_paths, strip_wrappers
from bnlint.artifacts.onnx_file import read_onnx_file
from bnlint.artifacts.read import read
from bnlint.errors import NotAnalysedError
from bnlint.facts.records import FactTable, ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.norms.names import kind_of_path, says_norm
from bnlint.norms.weights import named_layers
from bnlint.report import Context
from bnlint.reporters.page.grouping import expand, group
from bnlint.ruleset import apply_rules, load_rules
from bnlint.ruleset.conditions import Comparison
from tests.artifacts.onnx_models import NORM, VALUES, call, model_of
from tests.cli.hostile_contents import in_zip

LARGER = 4
MOST = 2.5 * LARGER
"""What a file that is four times as large may cost, at most; with the square of its size it would be 16."""

PRIME = (1 << 61) - 1
"""The hash of an integer is its remainder by this."""

ROLES = ("weight", "bias", "running_mean", "running_var")


def growth(make: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times as long a call takes on what is four times as large: the median of processor times, in turns."""
    calls = [make(size), make(LARGER * size)]
    seconds: list[list[float]] = [[], []]
    for _ in range(3):
        for number, made in enumerate(calls):
            start = time.process_time()
            made()
            seconds[number].append(time.process_time() - start)
    small, large = (statistics.median(times) for times in seconds)
    return large / max(small, 1e-3)


def described(names: Iterable[str]) -> dict[str, Any]:
    return dict.fromkeys(names, torch.empty(4, device="meta"))


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def dict_of(keys: Iterable[bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(key + b"N" for key in keys) + b"u."


def colliding_pairs(number: int) -> list[tuple[int, int]]:
    """Pairs of numbers of 64 bits whose hashes are one: that of a tuple can be calculated backwards."""
    first, second, fifth, whole = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x27D4EB2F165667C5, 1 << 64

    def turned(value: int) -> int:
        return (value << 31 | value >> 33) % whole

    aim = (turned((turned((fifth + 1 * second) % whole) * first + 2 * second) % whole) * first) % whole
    inverse = pow(second, -1, whole)
    before = (aim * pow(first, -1, whole)) % whole
    before = (before << 33 | before >> 31) % whole
    found, one = [], 1
    while len(found) < number:
        other = ((before - turned((fifth + one * second) % whole) * first) * inverse) % whole
        if other < PRIME:
            found.append((one, other))
        one += 1
    return found


NAMES: Mapping[str, tuple[int, Callable[[int], Callable[[], object]]]] = {
    "wrappers in wrappers": (20_000, lambda n: lambda: strip_wrappers(["module." * n + "weight"])),
    "paths of wrappers": (20_000, lambda n: lambda: strip_paths(["_orig_mod." * n], ["_orig_mod." * n + "a.weight"])),
    "a prefix of many parts": (20_000, lambda n: lambda: common_prefix(["a." * n + "weight"], ["bias"])),
    "metadata beside deep names": (
        20_000,
        lambda n: lambda: named_layers(described(["a." * n + "weight"]), {"bn": 2}),
    ),
    "layers of numbers": (50_000, lambda n: lambda: named_layers(described(["0." * n + "running_mean"]))),
    "digits in a name": (5_000, lambda n: lambda: kind_of_path("1" * n + "a")),
    "norms in a name": (5_000, lambda n: lambda: says_norm("norm1" * n + "-")),
    "groups of one long prefix": (500, lambda n: lambda: group("p.9." * 15 + str(i) for i in range(n))),
    "groups of long names": (
        200,
        lambda n: lambda: group(".".join(str(i >> bit & 1) for bit in range(n // 10)) for i in range(n)),
    ),
    "groups that differ in every place": (
        500,
        lambda n: lambda: group(".".join(str(i * 7 >> bit & 1) for bit in range(20)) for i in range(n)),
    ),
    "groups without a neighbour": (1_000, lambda n: lambda: group(f"{i * i}.{i * 37 % 1009}.bn" for i in range(n))),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_cost_what_they_are_long(case: str) -> None:
    size, make = NAMES[case]
    if case == "groups of long names":  # both the names and their number grow
        assert growth(make, size) < LARGER * MOST
    else:
        assert growth(make, size) < MOST


@pytest.mark.parametrize(
    ("names", "wanted", "prefix"),
    [
        (["net.a.weight", "net.b.bias"], ["a.weight", "b.bias"], "net."),
        (["net.net.weight"], ["net.weight"], "net."),
        (["a.b.weight", "a.b.bias"], ["weight", "bias"], "a.b."),
        (["net.a", "other.b"], ["a", "b"], ""),
        (["neta", "netb"], ["a", "b"], ""),
        (["a.weight"], ["a.weight"], ""),
        (["weight"], ["a.weight"], ""),
        ([], ["a"], ""),
        (["a"], [], ""),
    ],
)
def test_the_prefix_that_all_names_have(names: list[str], wanted: list[str], prefix: str) -> None:
    assert common_prefix(names, wanted) == prefix


def test_groups_of_more_places_than_are_merged_stand_for_these_names_and_no_others() -> None:
    names = [".".join(str(i >> bit & 1) for bit in range(12)) for i in range(0, 4096, 3)]
    assert sorted(expand(group(names))) == sorted(names)
    deep = ["a." * 50 + str(i) for i in range(5)]
    assert expand(group(deep)) == tuple(deep)


@pytest.mark.parametrize(
    "keys",
    [
        lambda n: [integer(k * PRIME) for k in range(n)],
        lambda n: [integer(k << 64) for k in range(n)],
        lambda n: [integer(k * PRIME) + b"\x85" for k in range(n)],
        lambda n: [b"(" + integer(k) + integer(k * PRIME) + b"t" for k in range(n)],
        lambda n: [text(str(k)) for k in range(n)],
    ],
    ids=["integers", "shifted integers", "tuples", "pairs", "texts"],
)
def test_keys_that_would_collide(keys: Callable[[int], list[bytes]]) -> None:
    def make(size: int) -> Callable[[], object]:
        content = dict_of(keys(size))
        return lambda: unpickled(content)

    assert growth(make, 1_500) < MOST


def unpickled(content: bytes) -> object:
    return read_pickle(io.BytesIO(content)).value


def test_large_and_small_integers_are_keys() -> None:
    content = pickle.dumps({0: "a", -5: "b", (1 << 63) - 1: "c", 2.5: "d", (1, 2): "e", 1 << 64: "f"}, 2)
    assert unpickled(content) == {0: "a", -5: "b", (1 << 63) - 1: "c", 2.5: "d", (1, 2): "e"}


def shared_states(number: int) -> bytes:
    shared = b"}(" + b"".join(text(f"k{index}") + b"N" for index in range(number)) + b"uq\x00"
    return b"\x80\x02" + shared + b"0ca\nB\n)\x81" + b"h\x00b" * number + b"."


def shared_lists(number: int) -> bytes:
    """A list of pairs that every one of many dicts is made of."""
    shared = b"](" + b"".join(text(f"k{index}") + b"N\x86" for index in range(number)) + b"eq\x00"
    return b"\x80\x02" + shared + b"0](" + b"ccollections\nOrderedDict\nh\x00\x85R" * number + b"e."


def nested_modules(depth: int) -> bytes:
    tables = text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules")
    begin = b"ctorch.nn.modules.container\nSequential\n)\x81}(" + tables + b"}" + text("name" * 20)
    return b"\x80\x02" + begin * depth + b"N" + b"sub" * depth + b"."


def tensor(offset: int, numel: int) -> bytes:
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"J"
    storage += struct.pack("<i", 1 << 22) + b"tQ"
    sizes = b"J" + struct.pack("<i", offset) + b"J" + struct.pack("<i", numel) + b"\x85K\x01\x85\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + sizes + b"tR"


def views_of_one_storage(number: int) -> bytes:
    names = [f"{index}.{role}" for index in range(number) for role in ROLES]
    views = (text(name) + tensor(offset, 4_000_000) for offset, name in enumerate(names))
    return in_zip(b"\x80\x02}(" + b"".join(views) + b"u.", **{"data/0": bytes(1 << 24)})


LIMITS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "tuples of one hash": (
        lambda: dict_of(b"(" + integer(one) + integer(two) + b"t" for one, two in colliding_pairs(1_000)),
        "the keys of a dict are made to be slow",
    ),
    "numbers of what is remembered": (
        lambda: b"\x80\x02N" + b"".join(b"p%d\n" % (k * PRIME) for k in range(1, 1_000)) + b".",
        "it remembers a value by a number that no program gives",
    ),
    "states": (lambda: shared_states(2_000), "it builds an object more often than any program"),
    "lists": (lambda: shared_lists(1_500), "it describes more than any model needs"),
    "nested modules": (lambda: nested_modules(10_000), "it describes more than any model needs"),
    "views": (lambda: views_of_one_storage(50), "have more values than those of any model"),
    "calls": (
        lambda: model_of([call("Relu", ["x"], f"v{i}") for i in range(70_000)], {}, output="v0").SerializeToString(),
        "its graph has more parts than that of any model",
    ),
    "arguments": (
        lambda: model_of([call("Concat", ["x"] * 300_000, "y", axis=1)], {}).SerializeToString(),
        "its graph has more parts than that of any model",
    ),
    "initialisers": (
        lambda: model_of(constants={f"w{i}": numpy.ones(1, "f") for i in range(70_000)} | VALUES).SerializeToString(),
        "its graph has more parts than that of any model",
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_what_cannot_be_linear_ends_in_a_sentence(case: str, tmp_path: Path) -> None:
    make, sentence = LIMITS[case]
    path = tmp_path / "file"
    path.write_bytes(make())
    with pytest.raises(NotAnalysedError, match=sentence):
        bnlint.check(path)


def test_pairs_are_found_that_collide() -> None:
    assert len({hash(pair) for pair in colliding_pairs(20)}) == 1


def chain_of_transparent_calls(number: int) -> list[Any]:
    """A long way that many layers look up, each from its end."""
    way = [call("Identity", [f"i{index - 1}" if index else "x"], f"i{index}") for index in range(number)]
    norms = [call("BatchNormalization", [f"i{number - 1}", *NORM], f"n{index}") for index in range(number)]
    return [*way, *norms, call("Concat", [f"n{index}" for index in range(number)], "y", axis=1)]


def layers_of_one_weight(number: int) -> list[Any]:
    calls = []
    for index in range(number):
        calls.append(call("Conv", [f"n{index - 1}" if index else "x", "conv.weight"], f"c{index}"))
        calls.append(call("BatchNormalization", [f"c{index}", *NORM], f"n{index}"))
    return [*calls, call("Relu", [f"n{number - 1}"], "y")]


@pytest.mark.parametrize("calls", [chain_of_transparent_calls, layers_of_one_weight])
def test_graphs_cost_what_they_are_long(calls: Callable[[int], list[Any]], tmp_path: Path) -> None:
    from bnlint.facts.collect import collect
    from bnlint.tracing.onnx import trace_onnx

    def make(size: int) -> Callable[[], object]:
        path = tmp_path / str(size)
        path.write_bytes(model_of(calls(size)).SerializeToString())
        artifact = read(str(path))
        trace = trace_onnx(read_onnx_file(path, "file"))
        return lambda: collect(artifact, trace)

    assert growth(make, 150) < MOST


def test_an_onnx_file_of_more_weights_than_a_process_may_open_files(tmp_path: Path) -> None:
    norms = [call("BatchNormalization", ["x", *(f"b{i}.{role}" for role in ROLES)], f"n{i}") for i in range(400)]
    constants = {f"b{i}.{role}": numpy.ones(4, "f") for i in range(400) for role in ROLES}
    path = tmp_path / "file"
    path.write_bytes(model_of([*norms, call("Relu", ["n0"], "y")], constants).SerializeToString())
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        assert len(bnlint.inspect(path).norms) == 400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_name_of_a_layer_of_a_hundred_thousand_parts_in_a_graph(tmp_path: Path) -> None:
    prefix = "a." * 100_000
    calls = [call("BatchNormalization", ["x", *(prefix + role for role in ROLES)], "y", name=f"/{'a/' * 100_000}b")]
    path = tmp_path / "file"
    path.write_bytes(model_of(calls, {prefix + role: numpy.ones(3, "f") for role in ROLES}).SerializeToString())
    assert bnlint.check(path).coverage.layers == 1


def test_rules_are_judged_once_for_layers_that_agree() -> None:
    def judged(number: int) -> int:
        norms = tuple(NormFacts(layer=f"bn{index}", kind="batch_norm", channels=4) for index in range(number))
        model = ModelFacts(
            class_name=UNKNOWN,
            form="state_dict",
            training=UNKNOWN,
            norm_layers=number,
            batch_norm_layers=number,
            graph="none",
            can_be_traced=False,
        )
        table = FactTable(model, norms)
        with mock.patch.object(Comparison, "judge", autospec=True, side_effect=Comparison.judge) as judge:
            outcome = apply_rules(load_rules(), table, Context.INFERENCE)
        assert max(len(item.layers) for item in outcome.not_run) == number
        return judge.call_count

    assert judged(2) == judged(500)
