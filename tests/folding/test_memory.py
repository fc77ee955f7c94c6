"""The memory that folding takes beside the weights, in a process of its own."""

from __future__ import annotations

import sys

import pytest

from benchmarks.fold_memory import in_process

BLOCKS = 40
"""Convolutions of 2.4 MiB each."""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_in_place_makes_no_second_copy_of_the_weights() -> None:
    memory = in_process("fold in place", BLOCKS)
    assert memory.weights > 95 << 20
    assert memory.added < 0.6 * memory.weights  # a second copy would be at least 1
