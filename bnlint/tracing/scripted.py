"""What TorchScript says of a normalisation layer that its attributes do not."""

from __future__ import annotations

from torch import nn
from torch.jit import ScriptModule

from bnlint.norms.operators import OPERATORS


def baked_training(module: nn.Module) -> bool | None:
    """The mode that is a constant of a TorchScript layer's code.

    `torch.jit.trace` writes the mode of the moment into the program: `eval()` sets the layer's flag later on, and
    changes nothing. `torch.jit.script` keeps the flag.

    Args:
        module: Any module.

    Returns:
        `None` where the mode is no constant, for other modules, and for code without a call of either.
    """
    if not isinstance(module, ScriptModule) or not hasattr(module, "inlined_graph"):
        return None
    graph = module.inlined_graph  # its nodes live no longer than the graph
    modes = {
        list(call.inputs())[operator.arguments.index(operator.mode)].toIValue()
        for operator in OPERATORS.values()
        if isinstance(operator.mode, str)
        for call in graph.findAllNodes(f"aten::{operator.name}", recurse=True)  # type: ignore[attr-defined]
    }
    return modes.pop() if len(modes) == 1 else None
