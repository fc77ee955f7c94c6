"""The second step of trust: a whole model of known code, live and on its weights, without loading its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bnlint.artifacts.inert.tree import foreign_packages
from bnlint.artifacts.known.packages import NEURAL_NETWORKS
from bnlint.artifacts.saved import Saved
from bnlint.opening import unreadable

if TYPE_CHECKING:
    from torch import nn


def packages_to_allow(saved: Saved, packages: Sequence[str]) -> tuple[str, ...]:
    """The packages whose admission would be enough for every module of a whole model to be known code.

    Args:
        saved: The model as data.
        packages: The packages that the user admits already.

    Returns:
        Empty where all modules are known code, and where some are of classes that cannot be admitted.
    """
    foreign = foreign_packages(saved.modules, (NEURAL_NETWORKS, *packages))
    return tuple(foreign) if all(map(_can_be_allowed, foreign)) else ()


def _can_be_allowed(package: str) -> bool:
    return bool(package) and package != "__main__" and package.partition(".")[0] != "torch"


def live_model(saved: Saved, packages: Sequence[str]) -> tuple[nn.Module | None, str]:
    """Make a whole model live, if all that it holds is known code.

    Args:
        saved: The model as data.
        packages: The packages that the user admits, beside `torch.nn`.

    Returns:
        The model, its tensors mapped from the file; and, where there is none, a sentence that says why.

    Raises:
        NotAnalysedError: The file cannot be read any more.
    """
    foreign = foreign_packages(saved.modules, (NEURAL_NETWORKS, *packages))
    if foreign or saved.objects is None:
        return None, _why_foreign(foreign)
    if not saved.objects.readable_here:
        return None, "Not traced: the file is from a machine of the other byte order."

    from bnlint.artifacts.known.build import NotBuiltError, build
    from bnlint.artifacts.known.names import KnownNames
    from bnlint.artifacts.known.storages import Storages

    try:
        storages = Storages(saved.objects.file, saved.objects.regions)
        return build(saved.objects.nodes, KnownNames(packages), storages.tensor), ""
    except NotBuiltError as error:
        return None, f"Not traced: {error}."
    except (OSError, ValueError) as error:
        raise unreadable(saved.objects.file.name, error) from error


def _why_foreign(packages: Sequence[str]) -> str:
    if "torch.fx" in packages:
        return "Not traced: the forward of a GraphModule is code in the file, which only `--trust` runs."
    able = [package for package in packages if _can_be_allowed(package)]
    if len(able) < len(packages) or not able:
        names = ", ".join(f"`{package}`" for package in packages if package) or "calls in the file"
        return f"Not traced: the model has classes from {names}, which are not known code."
    names = ", ".join(f"`{package}`" for package in able)
    options = " ".join(f"--allow {package}" for package in able)
    those = "that package" if len(able) == 1 else "those packages"
    cause = f"classes from {names} are not known code"
    return f"Not traced: {cause}; `{options}` lets bnlint import {those} and trace the model."
