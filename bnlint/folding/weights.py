"""The algebra on the weights of the carriers: float64 throughout, one cast at the end.

Nothing is computed ahead: a carrier knows what each channel is multiplied by, and makes its new weight a block of rows
at a time. A block in float64 stays in the cache, and no second copy of the weights is needed to fold in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from bnlint.folding.affine import Affine, affine_of
from bnlint.folding.plan import Change, Plan, Side
from bnlint.tracing.live import named_modules

_BLOCK = 1 << 16
"""Values of a block on the CPU: half a mebibyte in float64, about what the second-level cache of a core holds."""


@dataclass(frozen=True)
class _Step:
    """What one change multiplies the weight by; shapes (C,), float64."""

    side: Side
    scale: Tensor
    shift: Tensor
    negated: bool


class Carrier:
    """The weights that one carrier will have; it is not changed.

    Args:
        module: A convolution, a linear layer, an embedding or a normalisation with an affine.

    Attributes:
        weight: The weight that it has now.
        bias: The bias after all changes in float64, `None` where it has none and needs none.
        bias_dtype: The data type that the bias will have.
    """

    def __init__(self, module: nn.Module) -> None:
        self.weight: Tensor = module.weight.detach()  # type: ignore[operator]
        bias = getattr(module, "bias", None)
        self.bias: Tensor | None = bias.detach().double() if isinstance(bias, Tensor) else None
        self.bias_dtype = bias.dtype if isinstance(bias, Tensor) else self.weight.dtype
        self._module = module
        self._groups: int = module.groups if isinstance(module, _ConvNd) else 1
        self._steps: list[_Step] = []

    def take(self, change: Change, affine: Affine) -> None:
        """Make one change."""
        channels = torch.as_tensor(change.channels, device=self.weight.device)
        taken = channels >= 0
        scale, shift = torch.ones_like(channels, dtype=torch.float64), torch.zeros_like(channels, dtype=torch.float64)
        scale[taken] = affine.scale.to(scale.device)[channels[taken]]
        if change.with_shift:
            shift[taken] = affine.shift.to(shift.device)[channels[taken]]
        if change.side is Side.INPUT:
            added = self._response(shift)
            self.bias = added if self.bias is None else self.bias + added
        elif change.side is Side.BESIDE:
            added = -shift if change.negated else shift
            self.bias = added if self.bias is None else self.bias + added
        elif not isinstance(self._module, nn.Embedding):
            self.bias = shift if self.bias is None else self.bias * scale + shift
        self._steps.append(_Step(change.side, scale, shift, change.negated))

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """The weight after all changes in float64, as slices of its first axis; each may be written to."""
        count = self.weight.shape[0]
        rows = count
        if self.weight.device.type == "cpu" and count:
            rows = max(1, _BLOCK * count // max(1, self.weight.numel()))
        for start in range(0, count, rows):
            part = slice(start, min(start + rows, count))
            block = self.weight[part].to(torch.float64, copy=True)
            for step in self._steps:
                self._scale(block, part, step)
            yield part, block

    def is_finite(self) -> bool:
        """Whether what it has taken is finite."""
        taken = [tensor for step in self._steps for tensor in (step.scale, step.shift)]
        return all(bool(tensor.isfinite().all()) for tensor in taken)

    def stays_normal(self) -> bool:
        """Whether each row of the new weight is zero, or has its length in the normal range of the data type.

        Told by the lengths of the rows and by the scales, so that the weight need not be made: with ordinary weights in
        float32 it never is. False where that cannot be told.
        """
        if not self.weight.is_floating_point() or self.weight.dim() < 2 or not self.weight.numel():
            return False
        rows, precise = self.weight.flatten(1), torch.promote_types(self.weight.dtype, torch.float32)
        shortest = longest = torch.linalg.vector_norm(rows, dim=1, dtype=precise).double()
        doubtful = shortest < 1e3 * torch.finfo(precise).smallest_normal ** 0.5  # where squares underflow
        if bool(rows[doubtful].any()):
            return False
        for step in self._steps:
            size = step.scale.abs()
            if step.side is Side.OUTPUT and not isinstance(self._module, (nn.Embedding, _ConvTransposeNd)):
                shortest, longest = shortest * size, longest * size
            elif step.side is Side.BESIDE or isinstance(self._module, nn.Embedding) or not bool(size.all()):
                return False  # what is added may cancel, and what is left of a row may be its smallest part
            else:
                shortest, longest = shortest * size.min(), longest * size.max()
        kind = torch.finfo(self.weight.dtype)
        normal = shortest >= kind.smallest_normal * rows.shape[1] ** 0.5
        return bool((normal | (longest == 0)).all()) and bool((longest <= kind.max).all())

    def exact(self) -> Tensor:
        """The whole weight after all changes, in float64."""
        whole = torch.empty_like(self.weight, dtype=torch.float64)
        for part, block in self.blocks():
            whole[part] = block
        return whole

    def _scale(self, block: Tensor, part: slice, step: _Step) -> None:
        if step.side is Side.BESIDE:
            self._add_to_middle(block, part, step)
        elif step.side is Side.INPUT or isinstance(self._module, _ConvTransposeNd):
            block.mul_(_spread(self._by_row(step.scale, part), block))  # (in, out / groups, kernel …) if transposed
        elif isinstance(self._module, nn.Embedding):
            block.mul_(step.scale).add_(step.shift)
        else:
            block.mul_(step.scale[part].view(-1, *[1] * (block.dim() - 1)))

    def _add_to_middle(self, block: Tensor, part: slice, step: _Step) -> None:
        """The skip connection stays and still adds its input, so the kernel takes `scale − 1`."""
        outputs = torch.arange(part.start, part.stop, device=block.device)
        middle = [size // 2 for size in block.shape[2:]]
        block[(outputs - part.start, outputs % block.shape[1], *middle)] += (
            (1 - step.scale[part]) if step.negated else (step.scale[part] - 1)
        )

    def _response(self, shift: Tensor) -> Tensor:
        """What the layer as it is so far makes of a constant input; shape (out,), float64."""
        sums = [
            (block.reshape(*block.shape[:2], -1).sum(2) * self._by_row(shift, part)).sum(1)
            for part, block in self.blocks()
        ]
        return torch.cat(sums)

    def _by_row(self, values: Tensor, part: slice) -> Tensor:
        """Values of the channels of the second axis, for each row those of its group; shape (rows or 1, channels)."""
        if self._groups == 1:
            return values.view(1, -1)
        rows = torch.arange(part.start, part.stop, device=values.device)
        return values.view(self._groups, -1)[rows // (self.weight.shape[0] // self._groups)]


def changed_carriers(model: nn.Module, plan: Plan) -> dict[str, Carrier]:
    """What the carriers of a plan become, by path; the model is not changed.

    A BatchNorm may be a carrier itself before it is folded: then its own affine is what it has become, and it is not
    among the carriers that are left.
    """
    carriers: dict[str, Carrier] = {}
    modules = dict(named_modules(model, once=False))
    for fold in plan.folds:
        changed = carriers.get(fold.layer)
        tensors = () if changed is None or changed.bias is None else (changed.exact(), changed.bias)
        affine = affine_of(modules[fold.layer], *tensors)
        for change in fold.changes:
            if change.carrier not in carriers:
                carriers[change.carrier] = Carrier(modules[change.carrier])
            carriers[change.carrier].take(change, affine)
    gone = {fold.layer for fold in plan.folds}
    return {path: carrier for path, carrier in carriers.items() if path not in gone}


def _spread(values: Tensor, block: Tensor) -> Tensor:
    """Values of shape (rows or 1, channels), with an axis for each further axis of a block."""
    return values.reshape(*values.shape, *[1] * (block.dim() - 2))
