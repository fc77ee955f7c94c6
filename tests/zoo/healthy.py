"""Public models in good health, without the cost of their weights: only normalisation layers have values."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bnlint.norms.classes import norm_kind
from tests.models import with_plausible_statistics

TRAINING: dict[str, Any] = {"context": "training", "batch_size": 64, "dataset_size": 1_281_167}
"""ImageNet in batches of 64: its last batch holds 15 samples."""


def healthy(model: nn.Module) -> nn.Module:
    """Gives the normalisation layers of a model values as training would leave them, in place, and returns the model.

    Args:
        model: A model on the meta device; its other weights stay there, as no rule reads them.
    """
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if norm_kind(layer) is None:
            continue
        layer.to_empty(device="cpu", recurse=False)
        with torch.no_grad():
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5, generator=generator)
                else:
                    tensor.fill_(1000)
    return with_plausible_statistics(model)
