"""What a run of the user's code must leave as it was: the state of the process."""

from __future__ import annotations

import contextlib
import io
import random
import sys
from collections.abc import Iterator

import numpy
import torch


@contextlib.contextmanager
def process_state_kept() -> Iterator[None]:
    """Random state, default dtype and gradient mode are as before, and nothing reaches standard output.

    Code that asks for a line from the keyboard meets the end of the file: no time limit ends such a wait.
    """
    python_state, numpy_state, dtype = random.getstate(), numpy.random.get_state(), torch.get_default_dtype()
    keyboard = sys.stdin
    try:
        sys.stdin = io.StringIO()
        with (
            torch.random.fork_rng(devices=[]),
            torch.set_grad_enabled(torch.is_grad_enabled()),
            contextlib.redirect_stdout(sys.stderr),
        ):
            yield
    finally:
        sys.stdin = keyboard
        random.setstate(python_state)
        numpy.random.set_state(numpy_state)
        torch.set_default_dtype(dtype)
