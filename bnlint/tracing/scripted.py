"""What TorchScript says of a normalisation layer that its attributes do not."""

from __future__ import annotations

from torch import nn
from torch.jit import ScriptModule

_TRAINING = 5
"""Position of `training` among the arguments of `aten::batch_norm`, and of what is its like in `instance_norm`."""


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
        list(call.inputs())[_TRAINING].toIValue()
        for operator in ("aten::batch_norm", "aten::instance_norm")
        for call in graph.findAllNodes(operator, recurse=True)  # type: ignore[attr-defined]
    }
    return modes.pop() if len(modes) == 1 else None
