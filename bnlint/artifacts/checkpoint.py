"""Files of `torch.save` and pickles: loaded without running anything, unless the user trusts them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from bnlint.artifacts.pickle_scan import first_foreign_name
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.user_code import first_line, user_code
from bnlint.errors import NotAnalysedError

_TRUST = "`--trust` runs the file's code: give it only for a file from someone you trust."
_AGAIN = "Download or copy it again."


def load_data(path: Path, name: str, kind: Kind) -> Any:
    """Load a file of `torch.save` as data: tensors and plain containers, no code.

    Args:
        path: The file.
        name: What the user called it.
        kind: Its format.

    Returns:
        What was saved, with the tensors of a zip file mapped into memory and read when they are used.

    Raises:
        NotAnalysedError: The file needs its own code to be run, or is damaged.
    """
    import torch

    if kind is Kind.PICKLE:
        raise _refusal(path, name, kind)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is Kind.TORCH_ZIP)
    except Exception as error:  # every kind of damage raises its own kind of exception
        raise _refusal(path, name, kind, error) from error


def load_trusted(path: Path, name: str, kind: Kind) -> Any:
    """Load a file of `torch.save`, or a plain pickle, and run whatever code it asks for.

    Args:
        path: The file.
        name: What the user called it.
        kind: Its format.

    Returns:
        What was saved.

    Raises:
        NotAnalysedError: The file is damaged, or its code cannot be found or raises.
    """
    import torch

    try:
        with user_code():
            if kind is Kind.PICKLE:
                with path.open("rb") as stream:
                    return pickle.load(stream)
            return torch.load(path, map_location="cpu", weights_only=False, mmap=kind is Kind.TORCH_ZIP)
    except (Exception, SystemExit) as error:
        if _is_cut(path, kind, error):
            raise NotAnalysedError(f"`{name}` is cut short or damaged.", _AGAIN) from error
        cause = f"`{name}` cannot be unpickled: {type(error).__name__}: {first_line(error)}."
        raise NotAnalysedError(cause, _missing_code_hint(error)) from error


def _refusal(path: Path, name: str, kind: Kind, error: Exception | None = None) -> NotAnalysedError:
    if _is_cut(path, kind, error):
        return NotAnalysedError(f"`{name}` is cut short or damaged.", _AGAIN)
    foreign = first_foreign_name(path, kind)
    if foreign is not None:
        cause = f"`{name}` holds a pickled `{foreign}`, which only running the file's own code can rebuild."
        return NotAnalysedError(cause, _TRUST)
    if error is None:
        return NotAnalysedError(f"`{name}` is a Python pickle that torch.save did not write.", _TRUST)
    if isinstance(error, pickle.UnpicklingError):
        # Torch writes a page of advice before the reason.
        reason = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
        return NotAnalysedError(f"`{name}` is more than data: {reason.splitlines()[0].rstrip('. ')}.", _TRUST)
    return NotAnalysedError(f"`{name}` is damaged: {first_line(error)}.", _AGAIN)


def _is_cut(path: Path, kind: Kind, error: BaseException | None) -> bool:
    try:
        first_foreign_name(path, kind)
    except ValueError:
        return True
    return isinstance(error, EOFError) or "unexpected EOF" in str(error)


def _missing_code_hint(error: BaseException) -> str:
    if "__main__" in str(error):
        return (
            "Its class was defined in the script that was run: move the class to a module and give"
            " `module:Class` with `--weights`."
        )
    if isinstance(error, (ImportError, AttributeError)):
        return "Run bnlint in the environment and the folder in which the model was saved."
    return ""
