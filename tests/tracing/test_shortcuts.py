"""Shortcuts on meta tensors: they answer as torch does, or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.tracing.shortcuts import call_shortcut, module_shortcut

META = torch.device("meta")


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=META)


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "contiguous": lambda: meta(2, 8, 6, 4),
    "channels_last": lambda: meta(2, 8, 6, 4).contiguous(memory_format=torch.channels_last),
    "one_sample": lambda: meta(1, 8, 6, 4),
    "one_pixel": lambda: meta(2, 8, 1, 1),
    "one_pixel_channels_last": lambda: meta(2, 8, 1, 1).contiguous(memory_format=torch.channels_last),
    "one_channel_last": lambda: meta(2, 1, 6, 4).contiguous(memory_format=torch.channels_last),
    "transposed": lambda: meta(2, 8, 4, 6).transpose(2, 3),
    "permuted": lambda: meta(8, 2, 6, 4).transpose(0, 1),
    "sliced": lambda: meta(2, 16, 6, 4)[:, ::2],
    "expanded": lambda: meta(2, 8, 1, 4).expand(2, 8, 6, 4),
    "empty": lambda: meta(0, 8, 6, 4),
    "tokens": lambda: meta(2, 6, 8),
    "transposed_tokens": lambda: meta(2, 8, 6).transpose(1, 2),
    "volume_channels_last": lambda: meta(2, 8, 3, 6, 4).contiguous(memory_format=torch.channels_last_3d),
    "rows": lambda: meta(3, 8),
    "half": lambda: meta(2, 8, 6, 4, dtype=torch.float16),
    "double": lambda: meta(2, 8, 6, 4, dtype=torch.float64),
    "integers": lambda: meta(2, 8, 6, 4, dtype=torch.int64),
    "vector": lambda: meta(8),
}

LAYERS: dict[str, Callable[[], nn.Module]] = {
    **{
        cls.__name__: cls
        for cls in (
            nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.SiLU, nn.Mish, nn.LeakyReLU, nn.ELU,
            nn.GELU, nn.Sigmoid, nn.Tanh,
        )
    },
    **{f"{cls.__name__}_inplace": lambda cls=cls: cls(inplace=True) for cls in (nn.ReLU, nn.ReLU6, nn.Hardswish)},
    "BatchNorm1d": lambda: nn.BatchNorm1d(8),
    "BatchNorm2d": lambda: nn.BatchNorm2d(8),
    "BatchNorm2d_without_affine": lambda: nn.BatchNorm2d(8, affine=False),
    "BatchNorm2d_without_statistics": lambda: nn.BatchNorm2d(8, track_running_stats=False),
    "BatchNorm3d": lambda: nn.BatchNorm3d(8),
    "LayerNorm": lambda: nn.LayerNorm(8),
    "LayerNorm_of_two_axes": lambda: nn.LayerNorm((6, 4)),
    "Linear": lambda: nn.Linear(8, 5),
    "Linear_without_bias": lambda: nn.Linear(4, 5, bias=False),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d(1),
    "AdaptiveAvgPool2d_pair": lambda: nn.AdaptiveAvgPool2d((1, 1)),
    "AdaptiveAvgPool2d_larger": lambda: nn.AdaptiveAvgPool2d(2),
}  # fmt: skip

FUNCTIONS: dict[str, Callable[[Tensor], tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    "relu": lambda x: (F.relu, (x,), {}),
    "relu_inplace": lambda x: (F.relu, (x, True), {}),
    "relu_named": lambda x: (F.relu, (x,), {"inplace": True}),
    "torch_relu": lambda x: (torch.relu, (x,), {}),
    "method_relu": lambda x: (Tensor.relu, (x,), {}),
    "leaky_relu": lambda x: (F.leaky_relu, (x, 0.1, True), {}),
    "hardtanh": lambda x: (F.hardtanh, (x, -2.0, 2.0, False), {}),
    "gelu": lambda x: (F.gelu, (x,), {"approximate": "tanh"}),
    "clamp": lambda x: (Tensor.clamp, (x, 0, 1), {}),
    "clamp_to_tensors": lambda x: (Tensor.clamp, (x, meta(2, 8, 6, 4)), {}),
    "add_itself": lambda x: (Tensor.add, (x, x), {}),
    "add_number": lambda x: (Tensor.add, (x, 1), {}),
    "add_float": lambda x: (Tensor.add, (x, 0.5), {}),
    "add_with_alpha": lambda x: (torch.add, (x, x), {"alpha": 2}),
    "add_contiguous": lambda x: (torch.add, (x, meta(2, 8, 6, 4)), {}),
    "mul_gate": lambda x: (Tensor.mul, (x, meta(2, 8, 1, 1)), {}),
    "gate_mul": lambda x: (Tensor.mul, (meta(2, 8, 1, 1), x), {}),
    "mul_vector": lambda x: (Tensor.mul, (x, meta(4)), {}),
    "mul_pixels": lambda x: (Tensor.mul, (x, meta(1, 1, 6, 4)), {}),
    "sub_scalar_tensor": lambda x: (Tensor.sub, (x, meta()), {}),
    "div_double": lambda x: (Tensor.div, (x, meta(2, 8, 6, 4, dtype=torch.float64)), {}),
    "batch_norm": lambda x: (F.batch_norm, (x, meta(8), meta(8), meta(8), meta(8), False, 0.1, 1e-5), {}),
    "batch_norm_training": lambda x: (F.batch_norm, (x, meta(8), meta(8)), {"training": True}),
    "batch_norm_of_seven": lambda x: (F.batch_norm, (x, meta(7), meta(7)), {}),
    "layer_norm": lambda x: (F.layer_norm, (x, (8,), meta(8), meta(8), 1e-5), {}),
    "layer_norm_double_weight": lambda x: (F.layer_norm, (x, (8,), meta(8, dtype=torch.float64)), {}),
    "linear": lambda x: (F.linear, (x, meta(5, 8), meta(5)), {}),
    "linear_that_does_not_fit": lambda x: (F.linear, (x, meta(5, 7)), {}),
    "linear_without_a_bias": lambda x: (F.linear, (x, meta(8, 5).t()), {}),
    "cat": lambda x: (torch.cat, ([x, meta(2, 3, 6, 4)], 1), {}),
    "cat_last": lambda x: (torch.cat, ((x, x, x),), {"dim": -1}),
    "cat_first": lambda x: (torch.cat, ([x, x],), {}),
    "cat_of_one": lambda x: (torch.cat, ([x], 1), {}),
    "cat_that_does_not_fit": lambda x: (torch.cat, ([x, meta(3, 3, 6, 5)], -3), {}),
    "cat_with_nothing": lambda x: (torch.cat, ([x, meta(0)], 1), {}),
    "cat_of_types": lambda x: (torch.cat, ([meta(2, 8, 6, 4, dtype=torch.bfloat16), x], 1), {}),
    "pool": lambda x: (F.adaptive_avg_pool2d, (x, 1), {}),
}


def description(result: Tensor) -> tuple[Any, ...]:
    return result.shape, result.stride(), result.dtype, result.device, result.requires_grad, result.storage_offset()


def assert_as_torch(shortcut: Callable[[], Tensor | None], real: Callable[[], Tensor]) -> None:
    with torch.no_grad():
        try:
            short: Tensor | None = shortcut()
        except (ValueError, RuntimeError) as error:
            with pytest.raises(type(error)):
                real()
            return
        if short is not None:
            assert description(short) == description(real())


@pytest.mark.parametrize(("layer", "layout"), list(itertools.product(LAYERS, LAYOUTS)))
def test_a_layer(layer: str, layout: str) -> None:
    module, x = LAYERS[layer]().to(META).eval(), LAYOUTS[layout]()
    assert_as_torch(lambda: module_shortcut(module, (x,), {}), lambda: module(x))


@pytest.mark.parametrize(("function", "layout"), list(itertools.product(FUNCTIONS, LAYOUTS)))
def test_a_function(function: str, layout: str) -> None:
    func, args, kwargs = FUNCTIONS[function](LAYOUTS[layout]())
    assert_as_torch(lambda: call_shortcut(func, args, kwargs), lambda: func(*args, **kwargs))


@pytest.mark.parametrize("layer", ["ReLU", "ReLU6_inplace", "BatchNorm2d", "GELU", "AdaptiveAvgPool2d"])
def test_the_usual_layers_are_answered(layer: str) -> None:
    with torch.no_grad():
        assert module_shortcut(LAYERS[layer]().to(META).eval(), (LAYOUTS["contiguous"](),), {}) is not None


@pytest.mark.parametrize("function", ["add_itself", "mul_gate", "batch_norm", "clamp", "cat"])
def test_the_usual_functions_are_answered(function: str) -> None:
    func, args, kwargs = FUNCTIONS[function](LAYOUTS["contiguous"]())
    with torch.no_grad():
        assert call_shortcut(func, args, kwargs) is not None


def test_what_is_written_in_place_is_the_same_tensor() -> None:
    x = meta(2, 8, 6, 4)
    with torch.no_grad():
        assert module_shortcut(nn.Hardswish(inplace=True), (x,), {}) is x
        assert call_shortcut(F.relu, (x,), {"inplace": True}) is x


def refused(module: nn.Module) -> bool:
    return module_shortcut(module.to(META), (meta(2, 8, 6, 4),), {}) is None


def test_torch_does_the_rest() -> None:
    """Training, gradients, autocast, hooks, other weights than the data type of the input, a forward of its own."""
    hooked, own = nn.ReLU(), nn.ReLU()
    hooked.register_forward_hook(lambda *_: None)
    own.__dict__["forward"] = lambda x: x.flatten(1)
    assert refused(nn.ReLU())  # with gradients
    with torch.no_grad():
        assert not refused(nn.ReLU())
        assert refused(hooked)
        assert refused(own)
        assert refused(nn.BatchNorm2d(8).train())
        assert refused(nn.BatchNorm2d(8).double().eval())
        with torch.autocast("cpu", torch.bfloat16):
            assert refused(nn.ReLU())


def test_a_layer_that_does_not_fit_is_refused_as_ever() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)).eval()
    assert "running_mean should contain 4 elements not 5" in bnlint.trace(model, (torch.ones(1, 3, 8, 8),)).reason
