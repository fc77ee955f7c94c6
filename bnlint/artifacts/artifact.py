"""What a reader gives back, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Artifact:
    """A target that has been read.

    Attributes:
        target: The target as the user named it.
        form: `module`, `pickled_module`, `state_dict` or `safetensors`.
        module: The live model, where there is one.
        tensors: The weights by name, with wrapper prefixes removed; empty where `module` holds them.
        weights_form: Form of the file whose weights were loaded into `module`; empty where there is none.
        mode_known: Whether the training flags of `module` were set by its owner. False where bnlint put a factory and
            a weights file together: then the flags are whatever the constructor left.
        notes: Remarks for the report, such as the checkpoint key that was read.
    """

    target: str
    form: str
    module: nn.Module | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    weights_form: str = ""
    mode_known: bool = True
    notes: tuple[str, ...] = ()
