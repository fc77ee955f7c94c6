"""Autocast, vmap, complex and nested tensors, and constants that the forward branches on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnlint.tracing.trace import How
from tests.tracing.proof import Call, block, images, prove

ONE = (images(),)


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.bn = block(), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = self.block(x)
            with torch.autocast("cpu", enabled=False):
                x = self.bn(x.float()) @ x.float()
            x = x @ x
        return self.bn(x.float())


def test_autocast_regions_are_in_the_graph() -> None:
    trace = prove(Autocast(), ONE, [Call("block.1"), Call("bn"), Call("bn")])
    names = [getattr(node.target, "__name__", node.target) for node in trace.graph.nodes]
    assert names.count("_enter_autocast") == names.count("_exit_autocast") == 2


class Vmapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn, self.linear = nn.BatchNorm2d(3), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(torch.vmap(self.linear)(x))


def test_a_vmap_is_one_opaque_call() -> None:
    prove(Vmapped(), ONE, [Call("bn")], complete=False)


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(self.bn(x))
        spectrum = torch.complex(spectrum.real, spectrum.imag) * torch.exp(1j * x.to(torch.complex64))
        pairs = torch.view_as_real(spectrum.conj().resolve_conj())
        return self.bn(torch.fft.ifft2(torch.view_as_complex(pairs)).abs())


def test_complex_tensors() -> None:
    prove(Spectrum(), ONE, [Call("bn"), Call("bn")])


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        nested = torch.nested.nested_tensor([x[0], x[1]])
        return self.bn(torch.nested.to_padded_tensor(nested, 0.0).flatten(2))


def test_nested_tensors_are_run_with_values() -> None:
    prove(Nested(), ONE, [Call("bn")], how=How.RECORDED_WITH_VALUES, complete=False)


class BranchesOnConstants(nn.Module):
    """Values that do not depend on the input are known on meta tensors too."""

    def __init__(self) -> None:
        super().__init__()
        self.block = block()
        self.register_buffer("steps", torch.tensor([1, 2, 3]))

    def forward(self, x: Tensor) -> Tensor:
        for rate in torch.linspace(0.5, 1, 3).tolist():
            x = x * rate
        for step in self.steps.tolist():
            x = x + step
        if (self.steps > 2).any() and self.steps.max().item() == 3:
            x = self.block(x)
        return self.block(x)


def test_constants_can_be_branched_on_without_a_run_on_values() -> None:
    prove(BranchesOnConstants(), ONE, [Call("block.1"), Call("block.1")])


class GradientModes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = block()

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = self.block(x)
        with torch.no_grad():
            return self.block(x.detach())


def test_gradient_modes() -> None:
    prove(GradientModes(), ONE, [Call("block.1"), Call("block.1")])
