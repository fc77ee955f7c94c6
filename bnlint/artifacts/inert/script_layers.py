"""Whose running statistics a normalisation call of TorchScript is given: a layer's own code need not be the caller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bnlint.artifacts.inert.script_code import CodeCall, Constant, Scalar
from bnlint.artifacts.inert.values import Stub, attributes
from bnlint.norms.operators import BY_NAME, KEEPING_STATISTICS, MODES


@dataclass(frozen=True)
class PlacedCall:
    """A normalisation call, and the layer that it stands for.

    Attributes:
        caller: Path of the module in whose code it stands.
        layer: Path of the layer whose running statistics it is given, the caller where it is given none; `None` where
            the code does not tell.
        mode_told: Whether its training flag is a constant, or says what the flag of the layer says.
        file: The file of code.
        call: The call.
    """

    caller: str
    layer: str | None
    mode_told: bool
    file: str
    call: CodeCall

    @property
    def from_outside(self) -> bool:
        """Whether it stands for another module than that in whose code it stands."""
        return self.layer is not None and self.layer != self.caller


class LayerPaths:
    """The modules of an archive, by what the code of one calls another.

    Args:
        stubs: The modules by path, each object once.
    """

    def __init__(self, stubs: Mapping[str, Stub]) -> None:
        self._stubs = stubs
        self._paths = {id(stub): path for path, stub in stubs.items()}

    def path_of(self, caller: str, relative: str) -> str | None:
        """The path of the module at a path that the code of a module names; `None` where there is none."""
        found = _descend(self._stubs[caller], relative)
        return None if found is None else self._paths.get(id(found))

    def place(self, caller: str, file: str, call: CodeCall) -> PlacedCall:
        """Find the layer of a call.

        Args:
            caller: Path of the module in whose code it stands.
            file: The file of code.
            call: The call.
        """
        layer = self._layer(caller, call)
        told = layer is None or layer == caller or self._mode_told(caller, layer, call)
        return PlacedCall(caller, layer, told, file, call)

    def _layer(self, caller: str, call: CodeCall) -> str | None:
        if call.statistics == "" or not keeps_statistics(call.operator):
            return caller
        if call.statistics is not None:
            return self.path_of(caller, call.statistics.rpartition(".")[0])
        # A layer may compute what it passes from its own statistics.
        return caller if "running_mean" in attributes(self._stubs[caller]) else None

    def _mode_told(self, caller: str, layer: str, call: CodeCall) -> bool:
        if BY_NAME[call.operator].training(call.arguments) is not None:
            return True
        owner, _, name = (call.mode or "").rpartition(".")
        flagged = self.path_of(caller, owner)
        if name != "training" or flagged is None:
            return False
        return self._flag(flagged) is not None and self._flag(flagged) == self._flag(layer)

    def _flag(self, path: str) -> object:
        return attributes(self._stubs[path]).get("training")


def without_unused(calls: Iterable[PlacedCall], called: Collection[str]) -> list[PlacedCall]:
    """Leave out the code of layers that is there and never runs: others pass their statistics to a function.

    Args:
        calls: All calls.
        called: Paths of the modules that the code of others calls.
    """
    found = list(calls)
    passed = {placed.layer for placed in found if placed.from_outside}
    unused = passed - set(called)
    return [placed for placed in found if placed.from_outside or placed.caller not in unused]


def untold_modes(paths: Iterable[str], calls: Iterable[PlacedCall], called: Collection[str]) -> list[str]:
    """Paths of the modules of which the code does not tell how they normalise.

    Args:
        paths: All modules.
        calls: All calls.
        called: Paths of the modules that the code of others calls.

    Returns:
        Modules with a call whose flag is computed; and, where the layer of some call cannot be told, all that no call
        was found for.
    """
    found = [placed for placed in calls if keeps_statistics(placed.call.operator)]
    untold = {placed.layer for placed in found if not placed.mode_told}
    if any(placed.layer is None for placed in found):
        told = {placed.layer for placed in found if placed.from_outside or placed.caller in called}
        untold |= set(paths) - told
    return [path for path in paths if path in untold]


def agreed(calls: Collection[Mapping[str, Constant]]) -> dict[str, Scalar]:
    """What all calls say of a traced layer, which has no constants of its own.

    Args:
        calls: The constant arguments of each.

    Returns:
        `momentum` and `eps`, as far as they are the same everywhere.
    """
    found: dict[str, Scalar] = {}
    in_eval = any(arguments.get(mode) is False for arguments in calls for mode in MODES)
    for name in ("momentum", "eps"):
        values = {arguments.get(name) for arguments in calls}
        if name == "momentum" and values == {0.0} and in_eval:
            continue  # in eval mode torch writes 0 for a cumulative average, too
        value = values.pop() if len(values) == 1 else None
        if value is not None and not isinstance(value, tuple):
            found[name] = value
    return found


def keeps_statistics(operator: str) -> bool:
    """Whether an operator takes running statistics."""
    return operator in KEEPING_STATISTICS


def _descend(stub: Stub, path: str) -> object | None:
    value: object = stub
    for name in path.split(".") if path else ():
        if not isinstance(value, Stub):
            return None
        value = attributes(value).get(name)
    return value
