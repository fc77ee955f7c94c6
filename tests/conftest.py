"""Settings of every test run."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The tests' models are tiny: on a busy machine threads wait for one another far longer than they work. Set before torch
# is imported, and inherited by the commands that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `make test` is a gate: the same commit passes or fails each time. `make fuzz` searches with other examples.
settings.register_profile("gate", derandomize=True)
settings.load_profile("gate")


@pytest.fixture(autouse=True)
def _the_same_random_numbers_each_time() -> None:
    import torch  # here, so that the environment above is set

    torch.manual_seed(0)
