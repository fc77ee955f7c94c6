"""The command line as it is, in processes of its own, with stand-ins for what needs torch: a start takes no time.

The stand-ins do what the name of the target says, which is one of `tests.batch.acts`: `acts:leave`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.batch import acts

ROOT = Path(__file__).parents[2]
CUSTOMIZE = "from tests.cli.stubs import stand_in\nstand_in()\n"


def environment(folder: Path) -> dict[str, str]:
    """An environment in which processes begin with the stand-ins.

    Args:
        folder: Where a file may be written for that.
    """
    (folder / "sitecustomize.py").write_text(CUSTOMIZE)
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def start(arguments: list[str], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Start `bnlint` in a folder."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    command = [sys.executable, "-m", "bnlint", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment(folder), **options)


def stand_in() -> None:
    """Put the stand-ins into `sys.modules`."""
    from bnlint.cli import verify_model

    linter, fold_model = types.ModuleType("bnlint.linter"), types.ModuleType("bnlint.cli.fold_model")
    vars(linter).update(check=_check, inspect=_inspect)
    vars(fold_model).update(plan_target=_plan, fold_target=_fold)
    vars(verify_model).update(verify_files=_verify)
    sys.modules |= {linter.__name__: linter, fold_model.__name__: fold_model}


def _act(target: str) -> None:
    acts.act(target.rpartition(":")[2])


def _check(target: str, *, progress: Callable[[str], None], **_: Any) -> Any:
    from tests.reporters.reports import report

    progress("tracing")
    _act(target)
    return report(target=target)


def _inspect(target: str, **_: Any) -> Any:
    from bnlint.facts.records import FactTable, ModelFacts

    _act(target)
    return FactTable(
        ModelFacts(form="module", norm_layers=0, batch_norm_layers=0, graph="none", can_be_traced=True), ()
    )


def _verify(model: str, **_: Any) -> Any:
    from bnlint.cli.verify_model import Verified

    _act(model)
    return Verified((), False, "", 0.0, 1e-3, "")


def _plan(target: str, **_: Any) -> Any:
    from bnlint.folding.record import FoldRecord

    _act(target)
    return FoldRecord(versions={}, target=target, model="Net", folds=(), kept=())


def _fold(target: str, output: Path, files: Any, **_: Any) -> Any:
    from msgspec.structs import replace

    from bnlint.folding.record import FileRecord

    files.model.write_text("folded")
    record = replace(_plan(target), folded=FileRecord(output.name, "0"))
    files.record.write_text(record.encode())
    return record
