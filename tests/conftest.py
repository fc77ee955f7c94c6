"""Settings of every test run."""

from __future__ import annotations

import os

# The tests' models are tiny: on a busy machine threads wait for one another far longer than they work. Set before torch
# is imported, and inherited by the commands that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
