"""Autocast regions of a run, as the nodes with which `torch.fx` writes them."""

from __future__ import annotations

import torch
from torch import fx
from torch.amp.autocast_mode import _enter_autocast, _exit_autocast

from bnlint.tracing.kinds import Role

State = tuple[bool, torch.dtype]


class AutocastRegions:
    """Notices between two calls that autocast was entered or left.

    Args:
        graph: The graph under construction.
        device: The device that the model's code is told its tensors are on.
    """

    def __init__(self, graph: fx.Graph, device: torch.device) -> None:
        self._graph = graph
        self._kind = device.type
        self._state = self.current()
        self._entered: list[fx.Node] = []

    def notice(self, state: State | None = None) -> None:
        """Write a node if the state has changed since the last call.

        Args:
            state: The state of the call, where it is written later than it was made; the present one by default.
        """
        state = state or self.current()
        if state == self._state:
            return
        self._state = state
        if self._entered:
            self._write(self._graph.call_function(_exit_autocast, (self._entered.pop(),)))
        if state[0]:
            node = self._graph.call_function(_enter_autocast, (self._kind, state[1], True, True))
            self._write(node)
            self._entered.append(node)

    def close(self) -> None:
        """Leave the region that the last call was in."""
        while self._entered:
            self._write(self._graph.call_function(_exit_autocast, (self._entered.pop(),)))

    def current(self) -> State:
        """Whether autocast is on, and for which data type."""
        if self._kind == "meta":
            return False, torch.float32
        return torch.is_autocast_enabled(self._kind), torch.get_autocast_dtype(self._kind)

    def _write(self, node: fx.Node) -> None:
        node.meta.update(role=Role.OTHER, val=None)
