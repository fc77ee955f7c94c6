"""A model as it is, in float64, or as it would be folded, ready to be run; its weights are shared, not copied."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bnlint.folding.apply import cast, cast_bias, put_remainders
from bnlint.folding.plan import Plan
from bnlint.folding.substitution import Made, Substitution, is_narrow
from bnlint.folding.weights import Carrier
from bnlint.tracing.copying.isolation import isolated
from bnlint.tracing.copying.structural_copy import StructuralCopy
from bnlint.tracing.copying.tensors import cloned_tensor
from bnlint.tracing.live import named_modules, parameters, submodule, tensors


@dataclass(frozen=True)
class Variant:
    """A model to run.

    Attributes:
        copied: Has the structure of the model, shares its parameters, and has all other state for itself: what a
            forward writes, such as a cache or a buffer, reaches neither the model nor a file.
        dtype: The data type of the run; the inputs must have it.
        in_double: Whether all weights are cast to float64 as they are used.
        made: The weights that are replaced as they are used.
    """

    copied: StructuralCopy
    dtype: torch.dtype
    in_double: bool = False
    made: Made = field(default_factory=dict)

    @property
    def module(self) -> nn.Module:
        """The module to call."""
        return self.copied.module

    @contextmanager
    def running(self) -> Iterator[None]:
        """Whatever is called inside runs as this variant; the weights that it shares with the model are only read."""
        before = torch.get_default_dtype()
        substitution = Substitution(self.made, self.in_double) if self.in_double or self.made else nullcontext()
        try:
            if self.in_double:
                torch.set_default_dtype(torch.float64)  # for what the forward makes itself
            with isolated(self.copied, values=True, lent=True), substitution:
                yield
        finally:
            torch.set_default_dtype(before)


def as_it_is(model: nn.Module) -> Variant:
    """The model in its own data type."""
    return Variant(_copied(model, _shared(model, in_double=False)), dtype_of(model))


def in_double(model: nn.Module) -> Variant:
    """The model in float64."""
    return Variant(_copied(model, _shared(model, in_double=True)), torch.float64, in_double=True)


def as_folded(model: nn.Module, plan: Plan, carriers: Mapping[str, Carrier], *, exactly: bool) -> Variant:
    """What the model becomes when it is folded in place.

    Args:
        model: The model; it is not changed.
        plan: What is folded.
        carriers: The carriers of the plan with their changes made, by path.
        exactly: In float64 without any cast, rather than with the weights that the fold will write.
    """
    memo = _shared(model, exactly)
    made: dict[int, Callable[[], Tensor]] = {}
    for path, carrier in carriers.items():
        module = submodule(model, path)
        for name, make in _makers(carrier, exactly).items():
            own = getattr(module, name, None)
            if isinstance(own, Tensor):
                stand_in = (
                    nn.Parameter(own.detach(), own.requires_grad) if isinstance(own, nn.Parameter) else own.detach()
                )
                memo[id(own)] = stand_in
                made[id(stand_in)] = make
    copied = _copied(model, memo)
    twin = copied.module
    for path, carrier in carriers.items():
        module = submodule(twin, path)
        if carrier.bias is not None and getattr(module, "bias", None) is None:
            module.bias = nn.Parameter(torch.empty_like(carrier.bias))
            made[id(module.bias)] = _makers(carrier, exactly)["bias"]
    put_remainders(twin, plan)
    return Variant(copied, torch.float64 if exactly else dtype_of(model), exactly, made)


def dtype_of(model: nn.Module) -> torch.dtype:
    """The data type of the first floating-point tensor of a model; float32 where there is none."""
    return next((tensor.dtype for tensor in tensors(model) if tensor.is_floating_point()), torch.float32)


def _makers(carrier: Carrier, exactly: bool) -> dict[str, Callable[[], Tensor]]:
    makers: dict[str, Callable[[], Tensor]] = {"weight": carrier.exact if exactly else lambda: cast(carrier).weight}
    bias = carrier.bias if exactly else cast_bias(carrier)
    return makers if bias is None else {**makers, "bias": lambda: bias}


def _copied(model: nn.Module, known: Mapping[int, object]) -> StructuralCopy:
    def own(tensor: Tensor) -> Tensor:
        stand_in = known.get(id(tensor))
        return stand_in if isinstance(stand_in, Tensor) else cloned_tensor(tensor)

    return StructuralCopy(model, own, {key: value for key, value in known.items() if isinstance(value, nn.Module)})


def _shared(model: nn.Module, in_double: bool) -> dict[int, object]:
    """What a copy does not copy: the parameters; and what must be in float64 from the start, since it is written to."""
    memo: dict[int, object] = {id(parameter): parameter for parameter in parameters(model)}
    if in_double:
        buffers = (tensor for tensor in tensors(model) if not isinstance(tensor, nn.Parameter))
        memo |= {id(buffer): buffer.double() for buffer in buffers if is_narrow(buffer)}
        scripted = [module for _, module in named_modules(model) if isinstance(module, torch.jit.ScriptModule)]
        memo |= {id(module): copy.deepcopy(module).double() for module in scripted}  # no call of theirs can be seen
    return memo
