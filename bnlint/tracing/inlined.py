"""Layers whose code stands inlined in a graph: of the layer itself only the tensors are left, under its path.

`ExportedProgram.module()`, the flows of quantisation that start from it, and `torch.fx` keep tensors in modules without
a class of their own, or flat in the root, and call operators on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import fx, nn

from bnlint.artifacts.names import joined
from bnlint.norms.tensors import ARGUMENTS, COUNTER

_OF_ROOT: Final = "L__self___"
"""What older versions of `torch.export` put before the flat names of tensors."""


def has_generated_code(module: nn.Module) -> bool:
    """Whether a module has no code of its own, or code that was written out of a graph, in which modes are constants.

    Args:
        module: Any module.
    """
    generated = isinstance(module, fx.GraphModule) or type(module).__module__.startswith("torch.export.")
    return generated or type(module) is nn.Module


def inlined_layer(arguments: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> tuple[str, str] | None:
    """The layer whose normalisation an operator does.

    Args:
        arguments: What the operator is called with.
        modules: Every module by path.

    Returns:
        The path that the name of its statistics, or else of its scale, begins with, and that of the module which holds
        them; `None` where it has neither among the tensors of a module of that sort.
    """
    for name in (ARGUMENTS[0], "weight"):
        argument = arguments.get(name)
        if not isinstance(argument, fx.Node) or argument.op != "get_attr":
            continue
        owner, _, own = str(argument.target).rpartition(".")
        if owner not in modules or not has_generated_code(modules[owner]):
            continue
        if own == name:
            return owner, owner
        if own.endswith(f"_{name}"):
            return joined(owner, own.removesuffix(f"_{name}").removeprefix(_OF_ROOT)), owner
    return None


def counter_beside(statistics: fx.Node, root: nn.Module) -> object:
    """The counter of batches that is kept beside running statistics; `None` where there is none.

    Args:
        statistics: The node of the running mean.
        root: The model.
    """
    owner, _, own = str(statistics.target).rpartition(".")
    try:
        module = root.get_submodule(owner)
    except AttributeError:  # outside the module tree
        return None
    return getattr(module, own.removesuffix(ARGUMENTS[0]) + COUNTER, None)
