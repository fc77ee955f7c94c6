"""Whole models in files, loaded by running the code that the files name, once the user allows it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.current_folder import admitting, withheld
from bnlint.artifacts.sniff import Kind
from bnlint.artifacts.user_code import described, user_code
from bnlint.errors import NotAnalysedError
from bnlint.opening import open_regular

if TYPE_CHECKING:
    from torch import nn


def load_module(path: Path, name: str, kind: Kind, keys: Sequence[str], named: Iterable[str] = ()) -> nn.Module:
    """Load a whole model, and run whatever code its file asks for.

    Args:
        path: The file.
        name: What the user called it.
        kind: Its format.
        keys: The keys, places in a list and attributes that lead to the model in what the file holds.
        named: Dotted names of the classes and functions that the file names; their modules may lie in the current
            folder.

    Returns:
        The model, on the CPU.

    Raises:
        NotAnalysedError: The file is damaged, or its code cannot be found, raises or makes something else.
    """
    from torch import nn

    try:
        with user_code(), admitting(*named):
            found = _load(path, kind)
            for key in keys:
                found = _inside(found, key)
    except (Exception, SystemExit) as error:
        cause = f"`{name}` cannot be unpickled: {described(error)}."
        raise NotAnalysedError(cause, _missing_code_hint(error)) from error
    if not isinstance(found, nn.Module):
        raise NotAnalysedError(f"Unpickled, `{name}` is a `{type(found).__name__}` and no model.")
    return found


def _inside(container: Any, key: str) -> Any:
    if isinstance(container, (list, tuple)):
        return container[int(key)]
    return container[key] if isinstance(container, Mapping) else getattr(container, key)


def _load(path: Path, kind: Kind) -> Any:
    import torch

    with open_regular(path) as stream:
        if kind is Kind.PICKLE:
            return pickle.load(stream)
        if kind is Kind.TORCH_LEGACY:
            return torch.load(stream, map_location="cpu", weights_only=False)
        return torch.load(path, map_location="cpu", weights_only=False, mmap=True)  # which takes no open file


def _missing_code_hint(error: BaseException) -> str:
    if "__main__" in str(error):
        return (
            "Its class was defined in the script that was run: move the class to a module and give"
            " `module:Class` with `--weights`."
        )
    if isinstance(error, (ImportError, AttributeError)):
        return withheld(error) or "Run bnlint in the environment and the folder in which the model was saved."
    return ""
