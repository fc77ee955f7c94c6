"""Which of several sets of weights in a file is meant."""

from __future__ import annotations

import pytest

from bnlint.artifacts.choice import choose, remark
from bnlint.artifacts.inert.contents import Entry
from bnlint.artifacts.inert.tensors import SavedTensor
from bnlint.errors import NotAnalysedError

TENSOR = SavedTensor("float32", (1,), (1,), 0, "0", 4, False)


def weights(key: str, count: int) -> Entry:
    return Entry((key,) if key else (), tensors={f"{number}.weight": TENSOR for number in range(count)})


def test_half_as_many_tensors_are_a_set_of_weights_and_fewer_are_not() -> None:
    assert choose((weights("net", 10), weights("rng", 4)), "", "file").key == "net"
    with pytest.raises(NotAnalysedError, match=r"several .*: `net`, `other`"):
        choose((weights("net", 10), weights("other", 5)), "", "file")


def test_loose_tensors_beside_a_set_of_weights_count_only_if_they_are_as_many() -> None:
    assert choose((weights("", 9), weights("net", 10)), "", "file").key == "net"
    with pytest.raises(NotAnalysedError, match="several"):
        choose((weights("", 10), weights("net", 10)), "", "file")


def test_a_remark_names_the_others_that_count() -> None:
    entries = (weights("model", 10), weights("ema", 5), weights("rng", 4))
    said = remark(choose(entries, "", "file"), entries, "")
    assert said == "The entry `model` of the checkpoint was read; `--key` chooses another: `ema`."
