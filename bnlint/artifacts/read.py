"""Reading a target: a file, or an import string, with or without a file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.import_string import import_model, is_import_string
from bnlint.artifacts.sniff import Content, Kind, sniff
from bnlint.artifacts.user_code import user_code
from bnlint.errors import NotAnalysedError, UsageError


def read(
    target: str, *, weights: str | None = None, kwargs: Mapping[str, Any] | None = None, trust: bool = False
) -> Artifact:
    """Read what the user named.

    Args:
        target: A file, told by its content, or an import string `package.module:name`. A file that exists comes first.
        weights: A file of weights for a target that is a model.
        kwargs: Keyword arguments for an import string that names a class or a function.
        trust: Whether code that a file carries may run.

    Returns:
        The model or its weights.

    Raises:
        UsageError: The target is neither a file nor an import string, or the import string names no model.
        NotAnalysedError: A file cannot be read, holds no model, needs `--trust`, or its weights do not fit.
    """
    if target and _exists(Path(target)):
        if kwargs:
            raise UsageError(f"`{target}` is a file: `--kwargs` is for an import string.")
        artifact, built = _read_file(target, trust), False
    elif is_import_string(target):
        imported = import_model(target, kwargs)
        artifact, built = Artifact(target, "module", imported.module), imported.built
    else:
        cause = f"`{target}` is neither an existing file nor an import string of the form `package.module:name`."
        raise UsageError(cause)
    if weights is None:
        return artifact
    return _with_weights(artifact, weights, trust, mode_known=not built)


def _with_weights(artifact: Artifact, weights: str, trust: bool, mode_known: bool) -> Artifact:
    from bnlint.artifacts.loading import load_weights

    if artifact.module is None:
        raise UsageError(f"`{artifact.target}` holds weights already: `--weights` needs a model to load them into.")
    given = _read_file(weights, trust)
    tensors = given.tensors if given.module is None else given.module.state_dict()
    with user_code():
        notes = load_weights(artifact.module, tensors, weights)
    notes = (*artifact.notes, *given.notes, *notes)
    return replace(artifact, weights_form=given.form, mode_known=mode_known, notes=notes)


def _read_file(name: str, trust: bool) -> Artifact:
    path = Path(name)
    kind = _sniff(path, name)
    if kind is Kind.SAFETENSORS:
        from bnlint.artifacts.safetensors_file import read_safetensors

        weights = read_safetensors(path, name)
        return Artifact(name, weights.form, tensors=weights.tensors, mode_known=False, notes=weights.notes)

    from bnlint.artifacts.checkpoint import load_data, load_trusted
    from bnlint.artifacts.weights import SavedModule, find_weights

    saved = load_trusted(path, name, kind) if trust else load_data(path, name, kind)
    found = find_weights(saved, name)
    if isinstance(found, SavedModule):
        return Artifact(name, "pickled_module", found.module, notes=found.notes)
    return Artifact(name, found.form, tensors=found.tensors, mode_known=False, notes=found.notes)


def _sniff(path: Path, name: str) -> Kind:
    if path.is_dir():
        raise NotAnalysedError(f"`{name}` is a folder.", "Name the file in it.")
    content = _content(path, name)
    if content.kind is Kind.UNREADABLE:
        raise NotAnalysedError(f"`{name}` is {content.words}.", content.hint)
    return content.kind


def _content(path: Path, name: str) -> Content:
    try:
        # Opening a pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise NotAnalysedError(f"`{name}` is not a regular file.")
        with path.open("rb") as file:
            return sniff(file)
    except FileNotFoundError as error:
        raise NotAnalysedError(f"There is no file `{name}`.") from error
    except PermissionError as error:
        raise NotAnalysedError(f"`{name}` may not be read: permission denied.") from error
    except (OSError, ValueError) as error:
        raise NotAnalysedError(f"`{name}` cannot be read: {error}.") from error


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True
