"""The algebra on the weights of the carriers: float64 throughout, one cast at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.affine import Affine, affine_of
from bnlint.folding.plan import Change, Plan, Side


class Carrier:
    """The weights of one carrier, in float64 until all its changes are made.

    Args:
        module: A convolution, a linear layer, an embedding or a normalisation with an affine.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._weight: Tensor = module.weight.detach().double()  # type: ignore[operator]
        bias = getattr(module, "bias", None)
        self._bias: Tensor | None = bias.detach().double() if isinstance(bias, Tensor) else None

    def take(self, change: Change, affine: Affine) -> None:
        """Make one change."""
        channels = torch.as_tensor(change.channels, device=self._weight.device)
        taken = channels >= 0
        scale, shift = torch.ones_like(channels, dtype=torch.float64), torch.zeros_like(channels, dtype=torch.float64)
        scale[taken] = affine.scale.to(scale.device)[channels[taken]]
        if change.with_shift:
            shift[taken] = affine.shift.to(shift.device)[channels[taken]]
        if change.side is Side.OUTPUT:
            self._after(scale, shift)
        elif change.side is Side.INPUT:
            self._before(scale, shift)
        else:
            self._beside(scale, shift)

    def tensors(self) -> tuple[Tensor, ...]:
        """The weight, and the bias if there is one, as they are in float64 so far."""
        return (self._weight,) if self._bias is None else (self._weight, self._bias)

    def store(self) -> None:
        """Cast once and write back into the module; a bias is added where one is needed."""
        parameter: Tensor = self._module.weight  # type: ignore[assignment]
        with torch.no_grad():
            parameter.copy_(self._weight)
            if self._bias is None:
                return
            if isinstance(self._module.bias, Tensor):
                self._module.bias.copy_(self._bias)
                return
        bias = self._bias.to(parameter.dtype)
        self._module.bias = nn.Parameter(bias, requires_grad=parameter.requires_grad)

    def _after(self, scale: Tensor, shift: Tensor) -> None:
        if isinstance(self._module, nn.Embedding):
            self._weight = self._weight * scale + shift
            return
        self._bias = shift if self._bias is None else self._bias * scale + shift
        if isinstance(self._module, _ConvTransposeNd):  # (in, out / groups, kernel …): the groups split the first axis
            groups = self._module.groups
            grouped = self._weight.reshape(groups, -1, *self._weight.shape[1:])
            self._weight = (grouped * _along(scale.view(groups, -1), 2, grouped.dim())).flatten(0, 1)
            return
        self._weight = self._weight * scale.view(-1, *[1] * (self._weight.dim() - 1))

    def _before(self, scale: Tensor, shift: Tensor) -> None:
        groups = self._module.groups if isinstance(self._module, _ConvNd) else 1
        grouped = self._weight.reshape(
            groups, -1, *self._weight.shape[1:]
        )  # (groups, out / groups, in / groups, kernel …)
        added = (grouped * _along(shift.view(groups, -1), 2, grouped.dim())).flatten(2).sum(2).flatten()
        self._bias = added if self._bias is None else self._bias + added
        self._weight = (grouped * _along(scale.view(groups, -1), 2, grouped.dim())).flatten(0, 1)

    def _beside(self, scale: Tensor, shift: Tensor) -> None:
        """The skip connection stays and still adds its input, so the kernel takes `scale − 1`."""
        self._bias = shift if self._bias is None else self._bias + shift
        weight = self._weight.clone()
        outputs = torch.arange(weight.shape[0], device=weight.device)
        middle = [size // 2 for size in weight.shape[2:]]
        place: tuple[Tensor | int, ...] = (outputs, outputs % weight.shape[1], *middle)
        weight[place] += scale - 1
        self._weight = weight


def changed_carriers(model: nn.Module, plan: Plan) -> dict[str, Carrier]:
    """The weights of all carriers of a plan with their changes made, by path; the model is not changed.

    A BatchNorm may be a carrier itself before it is folded: then its own affine is what it has become.
    """
    carriers: dict[str, Carrier] = {}
    for fold in plan.folds:
        tensors = carriers[fold.layer].tensors() if fold.layer in carriers else ()
        affine = affine_of(model.get_submodule(fold.layer), *tensors)
        for change in fold.changes:
            if change.carrier not in carriers:
                carriers[change.carrier] = Carrier(model.get_submodule(change.carrier))
            carriers[change.carrier].take(change, affine)
    return carriers


def _along(values: Tensor, axis: int, rank: int) -> Tensor:
    """Values of shape (groups, channels) laid out for (groups, …, channels at `axis`, …)."""
    shape = [1] * rank
    shape[0], shape[axis] = values.shape[0], values.shape[1]
    return values.reshape(shape)
