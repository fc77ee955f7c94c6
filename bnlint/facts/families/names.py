"""The names of the families, as `bnlint facts` and `bnlint inspect` head them."""

from __future__ import annotations

from typing import Final

IDENTITY: Final = "identity"
MODE: Final = "mode"
CONFIGURATION: Final = "configuration"
STATISTICS: Final = "statistics"
SURROUNDINGS: Final = "surroundings"
FOLDING: Final = "folding"
SHAPE: Final = "shape"
COVERAGE: Final = "coverage"
DRY_RUN: Final = "dry run"
DATA: Final = "data"

Names = frozenset[str]
"""A set of names, such as roles."""
