"""bnlint: the linter for normalisation layers in PyTorch models.

The public names are loaded when they are first used, so that `import bnlint` does not import torch.
"""

from __future__ import annotations

import importlib

# Spelt out, because `python -m bnlint` runs this file while a `typing.py` of the current folder still comes first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bnlint.batch.files import check_files
    from bnlint.errors import BnlintError, NotAnalysedError, RuleFileError, UsageError
    from bnlint.folding.fold import FoldResult, fold
    from bnlint.folding.settled import plan
    from bnlint.linter import check, inspect
    from bnlint.looking.live import trace
    from bnlint.report import Context, Coverage, Evidence, Finding, Location, NotRun, Report, Severity
    from bnlint.summary import Failure

__version__ = "0.1.0"

_HOMES = {
    "BnlintError": "errors",
    "Context": "report",
    "Coverage": "report",
    "Evidence": "report",
    "Failure": "summary",
    "Finding": "report",
    "FoldResult": "folding.fold",
    "Location": "report",
    "NotAnalysedError": "errors",
    "NotRun": "report",
    "Report": "report",
    "RuleFileError": "errors",
    "Severity": "report",
    "UsageError": "errors",
    "check": "linter",
    "check_files": "batch.files",
    "fold": "folding.fold",
    "plan": "folding.settled",
    "inspect": "linter",
    "trace": "looking.live",
}

__all__ = [
    "BnlintError",
    "Context",
    "Coverage",
    "Evidence",
    "Failure",
    "Finding",
    "FoldResult",
    "Location",
    "NotAnalysedError",
    "NotRun",
    "Report",
    "RuleFileError",
    "Severity",
    "UsageError",
    "__version__",
    "check",
    "check_files",
    "fold",
    "inspect",
    "plan",
    "trace",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bnlint' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bnlint.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
