"""Import strings: `package.module:name` names a module, its class, or a function that builds it."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from bnlint.artifacts.current_folder import admitting, current_folder, modules_here, withheld
from bnlint.artifacts.user_code import described, user_code
from bnlint.errors import UsageError
from bnlint.opening import is_folder, is_regular, resolved

if TYPE_CHECKING:
    from torch import nn

_NAME: Final = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FORM: Final = re.compile(rf"(?P<module>{_NAME}):(?P<name>{_NAME})")


@dataclass(frozen=True)
class Imported:
    """What an import string stands for.

    Attributes:
        module: The model.
        built: Whether bnlint called a class or a function to get it.
    """

    module: nn.Module
    built: bool


def is_import_string(text: str) -> bool:
    """Whether a text has the form `package.module:name`, with dots allowed on both sides."""
    return _FORM.fullmatch(text) is not None


def import_string_meant(text: str) -> str:
    """A question that names the import string that a name with dots alone, such as `package.Model`, may stand for.

    Args:
        text: What the user gave; nothing is imported.

    Returns:
        Empty where the first part of the name is no module.
    """
    from importlib.util import find_spec

    package, dot, _ = text.partition(".")
    if not dot or re.fullmatch(_NAME, text) is None:
        return ""
    found = None
    with contextlib.suppress(ImportError, ValueError):  # a module without a spec, such as `__main__`
        found = find_spec(package)
    if not (found or is_folder(package) or is_regular(f"{package}.py")):
        return ""
    module, _, name = text.rpartition(".")
    return f"Did you mean `{module}:{name}`?"


def import_model(text: str, kwargs: Mapping[str, Any] | None = None) -> Imported:
    """Import, and where need be build, the model that an import string names.

    Args:
        text: The import string.
        kwargs: Keyword arguments for a class or a function.

    Returns:
        The model.

    Raises:
        UsageError: The text is malformed, names nothing, or names something that raises or is no model.
    """
    from torch import nn

    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"`{text}` is not an import string of the form `package.module:name`.")
    folder = current_folder()
    # It may change: a relative path in the call of bnlint means what it meant.
    kept = contextlib.nullcontext() if folder is None else contextlib.chdir(folder)
    with user_code(), kept, admitting(match["module"]):
        value: Any = _import(match["module"])
        for name in match["name"].split("."):
            value = _attribute(value, name, text)
        if isinstance(value, nn.Module):
            if kwargs:
                raise UsageError(f"`{text}` is a model already, which takes no `--kwargs`.")
            return Imported(value, built=False)
        return Imported(_build(value, dict(kwargs or {}), text), built=True)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        # A module that exists may itself fail to import another one.
        if absent != name and not name.startswith(f"{absent}."):
            raise UsageError(f"Importing `{name}` failed: {described(error)}.", withheld(error)) from error
        raise UsageError(f"There is no module `{absent}`.", _nearest(absent, _siblings(absent))) from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"Importing `{name}` failed: {described(error)}.") from error


def _siblings(name: str) -> list[str]:
    """The modules beside the one that was named, as dotted names."""
    parent = name.rpartition(".")[0]
    if not parent:
        return [*modules_here(), *(module.name for module in pkgutil.iter_modules())]
    folders = getattr(sys.modules.get(parent), "__path__", [])
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(folders)]


def _attribute(owner: Any, name: str, text: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        what = f"`{getattr(owner, '__name__', type(owner).__name__)}`"
        raise UsageError(f"{what} has no attribute `{name}`.", _attribute_hint(owner, name)) from error
    except Exception as error:  # a module's own __getattr__ may import more
        raise UsageError(f"Looking up `{text}` failed: {described(error)}.", withheld(error)) from error


def _attribute_hint(owner: Any, name: str) -> str:
    if isinstance(owner, ModuleType) and (hidden := _hidden_file(owner)):
        return f"`{hidden}` in this folder is hidden by an installed module of the same name: rename it."
    return _nearest(name, dir(owner))


def _hidden_file(module: ModuleType) -> str:
    """The file of the current folder that the import string may have meant, if another module was imported."""
    file = Path(f"{module.__name__.replace('.', '/')}.py")
    if not is_regular(file):
        return ""
    loaded = getattr(module, "__file__", None)
    return "" if loaded and resolved(Path(loaded)) == resolved(file) else str(file)


def _nearest(name: str, names: Iterable[str]) -> str:
    import difflib  # only a mistake needs it

    by_lower_case = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"Did you mean `{by_lower_case[close[0]]}`?" if close else ""


def _build(maker: Any, kwargs: dict[str, Any], text: str) -> nn.Module:
    from torch import nn

    if not callable(maker):
        raise UsageError(
            f"`{text}` is a `{type(maker).__name__}`, not an nn.Module, a class of one, or a function that returns one."
        )
    try:
        made = maker(**kwargs)
    except (Exception, SystemExit) as error:
        hint = "Arguments are given by `--kwargs`." if isinstance(error, TypeError) else withheld(error)
        raise UsageError(f"Calling `{text}` failed: {described(error)}.", hint) from error
    if not isinstance(made, nn.Module):
        raise UsageError(f"`{text}` returned a `{type(made).__name__}`, not an nn.Module.")
    return made
