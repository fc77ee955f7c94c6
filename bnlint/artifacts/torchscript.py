"""TorchScript archives, read as data: `torch.jit.load` runs what they carry, and is not used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnlint.artifacts.inert.sandbox import ask_child
from bnlint.artifacts.inert.script import Script, ScriptCall
from bnlint.artifacts.inert.script_code import Constant
from bnlint.artifacts.inert.script_lines import SourceLine
from bnlint.artifacts.inert.tensors import SavedTensor
from bnlint.artifacts.saved import Saved
from bnlint.artifacts.stored import StoredTensor
from bnlint.errors import UsageError
from bnlint.norms.operators import BY_NAME, KEEPING_STATISTICS


@dataclass(frozen=True)
class ScriptedCall:
    """A normalisation call in the code of a module.

    Attributes:
        module: Path of the layer whose running statistics it is given; otherwise of the module in whose code it
            stands.
        operator: Such as `batch_norm`.
        arguments: Constant arguments, such as `momentum` and `eps`; those that the code computes are absent.
        tensors: Arguments that are constants of the archive, as in a frozen program, by name.
        source: The line of Python that it was made from, or that calls the module; `None` where unknown.
    """

    module: str
    operator: str
    arguments: Mapping[str, Constant]
    tensors: Mapping[str, StoredTensor]
    source: SourceLine | None

    @property
    def training(self) -> bool | None:
        """Whether it normalises by the batch whatever the mode; `None` where the mode of the module decides."""
        return BY_NAME[self.operator].training(self.arguments)


@dataclass(frozen=True)
class ScriptedModel:
    """A TorchScript archive as data.

    Attributes:
        saved: The module tree and its tensors.
        calls: The normalisation calls in its code, module by module.
    """

    saved: Saved
    calls: tuple[ScriptedCall, ...]


def read_torchscript(path: Path, name: str, key: str = "") -> ScriptedModel:
    """Read a file of `torch.jit.save`; nothing in it is run.

    Args:
        path: The file.
        name: What the user called it.
        key: Refused: an archive holds one model.

    Returns:
        The module tree, and the normalisation calls in its code.

    Raises:
        NotAnalysedError: The file is damaged, or takes more memory or time than any model.
        UsageError: A key was given.
    """
    if key:
        raise UsageError(f"`{name}` is a TorchScript archive, which holds one model: `--key` does not apply.")
    script = ask_child("torchscript", path, name, Script)

    def stored(tensor: SavedTensor) -> StoredTensor:
        return StoredTensor(tensor, path, name, script.regions.get(tensor.storage), script.little_endian)

    def scripted(call: ScriptCall) -> ScriptedCall:
        tensors = {argument: stored(tensor) for argument, tensor in call.tensors.items()}
        return ScriptedCall(call.module, call.operator, call.arguments, tensors, call.source)

    tensors = {
        module.full_name(own): stored(tensor) for module in script.modules for own, tensor in module.tensors.items()
    }
    calls = tuple(map(scripted, script.calls))
    saved = Saved(
        "torchscript",
        script.modules,
        tensors,
        called=script.called,
        notes=tuple(_notes(script)),
        baked_training=_baked_training(calls),
        lines={call.module: call.source for call in reversed(calls) if call.source is not None},
        untold_modes=frozenset(script.untold_modes),
    )
    return ScriptedModel(saved, calls)


def _baked_training(calls: Iterable[ScriptedCall]) -> dict[str, bool]:
    """Modules whose code fixes the mode of their BatchNorm calls: whether one normalises by the batch for ever."""
    modes: dict[str, set[bool | None]] = {}
    for call in calls:
        if call.operator in KEEPING_STATISTICS:
            modes.setdefault(call.module, set()).add(call.training)
    return {module: True in found for module, found in modes.items() if True in found or found == {False}}


def _notes(script: Script) -> list[str]:
    notes = []
    if script.unparsed:
        files = ", ".join(f"`{file}`" for file in script.unparsed[:3])
        count = f"{len(script.unparsed)} file{'s' if len(script.unparsed) > 1 else ''} of code"
        notes.append(f"Left out, as torch writes nothing of the kind: {count}, {files}.")
    if len(script.modules) == 1 and not script.modules[0].tensors:
        notes.append(
            "The program is frozen: its layers became constants of one function. Of normalisation only the"
            f" {len(script.calls)} calls in its code are left, and none of those that were folded into other layers."
        )
    if script.called:
        names = ", ".join(f"`{item}`" for item in script.called[:3])
        notes.append(f"`torch.jit.load` would run code of the file: `__setstate__` of {names}.")
    return notes
