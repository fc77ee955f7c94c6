"""The whole road from a file to the report, in this process: what the child does for untrusted files is done here."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import msgspec

import bnlint
import bnlint.artifacts.read
import bnlint.looking.live
import bnlint.tracing.onnx
import bnlint.tracing.program
from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.inert import child, reader
from bnlint.artifacts.known.model import live_model
from bnlint.artifacts.lazy_tensors import LazyTensors
from bnlint.artifacts.saved import Saved
from bnlint.errors import BnlintError
from bnlint.linter import check
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.formats import FORMATS, load_format
from tests.artifacts.forbidden import warm_up

_LIVE: list[bool] = [False]
_TRACED = vars(bnlint.artifacts.read)["_make_live"]


def stay_here(live: bool, traced: bool) -> None:
    """From now on read files in this process.

    Args:
        live: Whether a model of `torch.nn` that a file holds is made; its own code is not what is searched.
        traced: Whether it is traced as well.
    """
    _LIVE[0] = live
    for module in pkgutil.walk_packages(bnlint.__path__, "bnlint."):
        if module.name != "bnlint.__main__":  # all else is imported now, since nothing may be later
            importlib.import_module(module.name)
    warm_up()
    vars(reader)["ask"] = _answer_here
    vars(bnlint.artifacts.read)["_make_live"] = _TRACED if traced else _as_data


def read_and_report(path: Path) -> bool:
    """Check one file and write the report of it in two formats.

    Args:
        path: The file or folder.

    Returns:
        Whether it was read; false where it was refused in a sentence.
    """
    try:
        report = check(path)
    except BnlintError as error:
        if "\n" in str(error):
            raise AssertionError(f"no sentence: {error!r}") from error
        return False
    for name in FORMATS:
        load_format(name).for_one().result(report, Style()).encode("utf-8", "backslashreplace")
    return True


def _as_data(name: str, saved: Saved, packages: tuple[str, ...]) -> Artifact:
    why = live_model(saved, packages)[1] if _LIVE[0] else "Not traced."
    tensors = LazyTensors(saved.tensors)
    return Artifact(name, saved.form, saved=saved, tensors=tensors, notes=(*saved.notes, why), not_live=why)


def _answer_here(request: bytes, *_: object) -> bytes:
    found = msgspec.msgpack.decode(request, type=child.Request)
    return msgspec.msgpack.encode(child.answer_of(child.reader_of(found.form), found))
