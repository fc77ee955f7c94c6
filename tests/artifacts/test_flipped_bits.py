"""Files of which some bits are others: each is read or refused in a sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bnlint
from bnlint.errors import BnlintError
from tests.cli.hostile_contents import network
from tests.cli.hostile_files import sound_files

FORMS = {
    "zip": "state_dict", "whole model": "pickled_module", "legacy": "pickled_module", "plain": "pickled_module",
    "safetensors": "safetensors", "index": "safetensors", "script": "torchscript", "package": "package",
}  # fmt: skip
"""Those of `sound_files` that no other test changes bit by bit, as programs, ONNX files and checkpoint folders; and
what bnlint calls them."""

Flips = list[tuple[float, int]]


class Sound(dict[str, bytes]):
    """Files before any bit is flipped; hypothesis prints the arguments of a failure, and these would bury it."""

    def __repr__(self) -> str:
        return "the sound files"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return Sound(sound_files(tmp_path_factory.mktemp("sound")))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=6))
def test_flipped_bits_are_read_or_refused(form: str, sound: Sound, flips: Flips, tmp_path: Path) -> None:
    data = bytearray(sound[form])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    (tmp_path / "shard").write_bytes(sound["safetensors"])
    path = tmp_path / "model"
    path.write_bytes(data)
    with contextlib.suppress(BnlintError):
        coverage = bnlint.check(path).coverage
        assert coverage.form in {FORMS[form], "state_dict"}  # the tables of what is no module any more are weights
        assert sum(coverage.kinds.values()) <= len(network().state_dict())
