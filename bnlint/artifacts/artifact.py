"""What a reader gives back, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from bnlint.artifacts.onnx_file import OnnxModel
    from bnlint.artifacts.program_archive import SavedProgram
    from bnlint.artifacts.saved import Saved


@dataclass(frozen=True)
class Artifact:
    """A target that has been read.

    Attributes:
        target: The target as the user named it.
        form: `module`, `pickled_module`, `torchscript`, `package`, `exported_program`, `onnx`, `state_dict` or
            `safetensors`.
        module: The live model, where there is one.
        saved: A model or weights in a file, as data, where there are any.
        program: An exported program in a file, as data, where there is one.
        live_program: An exported program that can be run: one given in Python, or loaded from a file with `--trust`.
        onnx: An ONNX model, as data, where there is one.
        tensors: The weights by name, with wrapper prefixes removed; empty where `module` holds them. Those of a file
            are on the meta device where they are larger than any of a normalisation layer.
        weights_form: Form of the file whose weights were loaded into `module`; empty where there is none.
        weights_saved: That file, as data, where it was read as such.
        mode_known: Whether the training flags of `module`, or of the saved modules, were set by the owner. False where
            bnlint put a factory and a weights file together: then the flags are whatever the constructor left.
        notes: Remarks for the report, such as the checkpoint key that was read.
        not_live: Why the saved modules were not made a live model, or why a program was not loaded with `--trust`, a
            sentence that `notes` has too; empty if they were.
        would_allow: The packages whose admission is all that the saved modules lack to become a live model; empty where
            that would not be enough.
        vetted: Whether the user has said that they know where `module` comes from. False for one that bnlint made of
            the attributes in a file, unasked.
    """

    target: str
    form: str
    module: nn.Module | None = None
    saved: Saved | None = None
    program: SavedProgram | None = None
    live_program: ExportedProgram | None = None
    onnx: OnnxModel | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    weights_form: str = ""
    weights_saved: Saved | None = None
    mode_known: bool = True
    notes: tuple[str, ...] = ()
    not_live: str = ""
    would_allow: tuple[str, ...] = ()
    vetted: bool = True

    def weights(self) -> Mapping[str, Tensor]:
        """Every parameter and buffer by name, those of a file mapped into memory, whatever their size."""
        if self.module is not None:
            return self.module.state_dict()
        read = self.saved if self.saved is not None else self.program
        if read is not None:
            return {name: stored.as_torch() for name, stored in read.tensors.items()}
        return self.tensors
