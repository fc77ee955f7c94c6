"""Reading a target: a file, or an import string, with or without a file of weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnlint.artifacts.address import is_remote
from bnlint.artifacts.artifact import Artifact
from bnlint.artifacts.call_warning import warning_of_calls
from bnlint.artifacts.known.packages import NEURAL_NETWORKS, admitted
from bnlint.artifacts.missing import missing_file, nearest_file
from bnlint.artifacts.sniff import PICKLED, Content, Kind, sniff
from bnlint.artifacts.user_code import user_code
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.opening import is_folder, is_link_to_nothing, is_meant, open_regular, refusal, unreadable

if TYPE_CHECKING:
    from bnlint.artifacts.saved import Saved


def read(
    target: str,
    *,
    weights: str | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    key: str = "",
    allow: str | Iterable[str] = (),
) -> Artifact:
    """Read what the user named.

    Args:
        target: A file, told by its content, or an import string `package.module:name`. A file that exists comes first.
        weights: A file of weights for a target that is a model.
        kwargs: Keyword arguments for an import string that names a class or a function.
        trust: Whether code that a file carries may run.
        key: Which of several models or sets of weights in a file, such as `ema`.
        allow: Packages whose classes a whole model in a file may be made of, beside those of `torch.nn`.

    Returns:
        The model or its weights.

    Raises:
        UsageError: The target is neither a file nor an import string, the import string names no model, there is no
            file of weights, or a package cannot be admitted.
        NotAnalysedError: A file cannot be read, holds no model, or its weights do not fit.
    """
    packages = admitted(allow)
    if is_link_to_nothing(target) and not refusal(target):
        raise NotAnalysedError(f"`{target}` is a link to a file that is not there.")
    if target and (is_remote(target) or is_meant(target)):
        if kwargs:
            raise UsageError(f"`{target}` is a file: `--kwargs` is for an import string.")
        artifact, built = _read_file(target, trust, "" if weights is not None else key, packages), False
    else:
        artifact, built = _import(target, kwargs, key if weights is None else "")
    if weights is None:
        return artifact
    return _with_weights(artifact, weights, trust, key, mode_known=not built)


def _import(target: str, kwargs: Mapping[str, Any] | None, key: str) -> tuple[Artifact, bool]:
    """What an import string names, and whether bnlint built it."""
    from bnlint.artifacts.import_string import import_model, import_string_meant, is_import_string

    if not is_import_string(target):
        cause = f"`{target}` is neither an existing file nor an import string of the form `package.module:name`."
        raise UsageError(cause, nearest_file(target) or import_string_meant(target))
    if key:
        raise UsageError("`--key` chooses within a file, and none is given.")
    imported = import_model(target, kwargs)
    return Artifact(target, "module", imported.module), imported.built


def _with_weights(artifact: Artifact, weights: str, trust: bool, key: str, mode_known: bool) -> Artifact:
    from bnlint.artifacts.loading import load_weights

    if artifact.not_live and artifact.program is None:
        raise NotAnalysedError(f"`{artifact.target}` cannot be given other weights. {artifact.not_live}")
    if artifact.module is None:
        raise UsageError(f"`{artifact.target}` holds weights already: `--weights` needs a model to load them into.")
    given = _read_file(weights, trust, key)
    if given.onnx is not None:
        cause = f"`{weights}` is an ONNX file, whose weights an exporter may have changed: they are of no other model."
        raise UsageError(cause, "Check it by itself, or give the weights that it was exported from.")
    called = () if given.saved is None else given.saved.unusual_calls
    with user_code(), warning_of_calls(weights, called, keep_hint=True):
        notes = load_weights(artifact.module, given.weights(), weights)
    notes = (*artifact.notes, *given.notes, *notes)
    return replace(artifact, weights_form=given.form, weights_saved=given.saved, mode_known=mode_known, notes=notes)


def _read_file(name: str, trust: bool, key: str, packages: tuple[str, ...] | None = None) -> Artifact:
    """Read a file; a whole model in it becomes a live one only where `packages` say what is known code."""
    if is_remote(name):
        from bnlint.artifacts.lazy_tensors import LazyTensors
        from bnlint.artifacts.remote import read_remote

        fetched = read_remote(name, key)
        tensors = LazyTensors(fetched.tensors)
        return Artifact(name, fetched.form, saved=fetched, tensors=tensors, mode_known=False, notes=fetched.notes)
    path = Path(name)
    kind = _sniff(path, name)
    if kind is Kind.PROGRAM:
        return _read_program(path, name, trust, key)
    if kind is Kind.ONNX:
        return _read_onnx(path, name, key)

    from bnlint.artifacts.lazy_tensors import LazyTensors

    known = () if trust or packages is None else (NEURAL_NETWORKS, *packages)
    saved = _read_saved(path, name, kind, key, known)
    loadable = kind in PICKLED
    if saved.modules and trust and kind is not None and loadable:
        return _load_trusted(path, name, kind, saved)
    if saved.modules and known and loadable:
        return _make_live(name, saved, packages or ())
    tensors = LazyTensors(saved.tensors)
    notes = (*saved.notes, *_wrapper_notes(saved))
    return Artifact(name, saved.form, saved=saved, tensors=tensors, mode_known=bool(saved.modules), notes=notes)


def _read_program(path: Path, name: str, trust: bool, key: str) -> Artifact:
    """Read a program as data; what folding would do with it takes the program itself as well."""
    from bnlint.artifacts.lazy_tensors import LazyTensors
    from bnlint.artifacts.program_archive import read_program
    from bnlint.artifacts.program_file import load_program

    if key:
        raise UsageError(f"`{name}` is a program, which is one model: `--key` does not apply.")
    program = read_program(path, name)
    live, not_live = None, ""
    if trust:
        try:
            live = load_program(path, name, trust=True)
        except NotAnalysedError as error:  # all but folding is known without it
            not_live = str(error)
    return Artifact(
        name,
        "exported_program",
        program=program,
        live_program=live,
        tensors=LazyTensors(program.tensors),
        notes=(*program.notes, *([not_live] if not_live else [])),
        not_live=not_live,
    )


def _read_onnx(path: Path, name: str, key: str) -> Artifact:
    from bnlint.artifacts.onnx_file import read_onnx_file

    if key:
        raise UsageError(f"`{name}` is a program, which is one model: `--key` does not apply.")
    model = read_onnx_file(path, name)
    return Artifact(name, "onnx", onnx=model, notes=model.notes)


def _make_live(name: str, saved: Saved, packages: tuple[str, ...]) -> Artifact:
    from bnlint.artifacts.known.model import live_model, packages_to_allow
    from bnlint.artifacts.lazy_tensors import LazyTensors

    module, not_live = live_model(saved, packages)
    unused = [
        f"No module of the file is of a class from `{package}`, which `--allow` names."
        for package in packages
        if not any(module.class_path.startswith(f"{package}.") for module in saved.modules)
    ]
    notes = (*saved.notes, *_wrapper_notes(saved), *([not_live] if not_live else []), *unused)
    return Artifact(
        name,
        saved.form,
        module,
        saved=saved,
        tensors=LazyTensors(saved.tensors),
        notes=notes,
        not_live=not_live,
        would_allow=packages_to_allow(saved, packages),
        vetted=bool(packages),
    )


def _wrapper_notes(saved: Saved) -> list[str]:
    return [f"The wrapper {wrapper} was taken off the model." for wrapper in saved.wrappers]


def _load_trusted(path: Path, name: str, kind: Kind, saved: Saved) -> Artifact:
    from bnlint.artifacts.checkpoint import load_module
    from bnlint.artifacts.wrappers import inside_wrappers

    module = inside_wrappers(load_module(path, name, kind, saved.keys, saved.named))
    return Artifact(name, saved.form, module, saved=saved, notes=(*saved.notes, *_wrapper_notes(saved)))


def _read_saved(path: Path, name: str, kind: Kind | None, key: str, known: tuple[str, ...]) -> Saved:
    """Read a file, or a folder, of which there is no kind, as data."""
    if kind is None:
        from bnlint.artifacts.shards import read_folder

        return read_folder(path, name, key)
    if kind is Kind.INDEX:
        from bnlint.artifacts.shards import read_index

        return read_index(path, name, key)
    if kind is Kind.TORCHSCRIPT:
        from bnlint.artifacts.torchscript import read_torchscript

        return read_torchscript(path, name, key).saved
    if kind is Kind.PACKAGE:
        from bnlint.artifacts.package_archive import read_package_archive

        return read_package_archive(path, name, key)

    from bnlint.artifacts.saved import read_saved

    return read_saved(path, name, kind, key, known)


def _sniff(path: Path, name: str) -> Kind | None:
    if is_folder(path):
        return None
    content = _content(path, name)
    if content.kind is Kind.UNREADABLE:
        raise NotAnalysedError(f"`{name}` is {content.words}.", content.hint)
    return content.kind


def _content(path: Path, name: str) -> Content:
    try:
        with open_regular(path) as file:
            return sniff(file)
    except FileNotFoundError:
        raise missing_file(name) from None
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error
