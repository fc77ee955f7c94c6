"""bnlint never changes what it inspects: the model, its caches, the random state and the modes of the process."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import bnlint
from tests import torchvision_ops  # noqa: F401  (before timm)
from tests.models import ConvNet, PooledBranch, RecurrentTokens, with_plausible_statistics
from tests.tracing.proof import block, images
from tests.tracing.snapshot import snapshot

LOOKS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "check": lambda model, inputs: bnlint.check(model, inputs=inputs, batch_size=4),
    "inspect": lambda model, inputs: bnlint.inspect(model, inputs=inputs),
    "run": lambda model, inputs: bnlint.check(model, inputs=inputs, run=True, data=[images()] * 4),
    "trace": lambda model, inputs: bnlint.trace(model, inputs=inputs),
}


def assert_untouched(model: nn.Module, inputs: Any) -> None:
    for look in LOOKS.values():
        before = snapshot(model)
        look(model, inputs)
        assert snapshot(model) == before


class Noisy(nn.Module):
    """Draws random numbers, reads values, keeps what it saw."""

    def __init__(self, reads_values: bool) -> None:
        super().__init__()
        self.reads_values = reads_values
        self.seen: list[Tensor] = []
        self.cache: dict[str, Any] = {"steps": 0}
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        self.cache["steps"] += 1
        self.cache["last"] = x
        self.steps += 1
        self.mask = x > 0
        if self.reads_values and x.sum().item() > 1e9:
            return x
        return F.dropout(x + torch.randn_like(x), 0.5)


@st.composite
def models(draw: st.DrawFn) -> nn.Module:
    """Chains of layers on three channels, in any mix of modes, frozen or not, with hooks, with or without gradients."""
    torch.manual_seed(draw(st.integers(0, 99)))
    parts: dict[str, Callable[[], nn.Module]] = {
        "block": block,
        "batch_norm": lambda: nn.BatchNorm2d(3),
        "cumulative": lambda: nn.BatchNorm2d(3, momentum=None),
        "instance_norm": lambda: nn.InstanceNorm2d(3, track_running_stats=True),
        "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 1)),
        "dropout": lambda: nn.Dropout(0.5),
        "in_place": lambda: nn.ReLU(inplace=True),
        "noisy": lambda: Noisy(reads_values=False),
        "noisy_with_values": lambda: Noisy(reads_values=True),
    }
    model = nn.Sequential(*[parts[name]() for name in draw(st.lists(st.sampled_from(sorted(parts)), max_size=5))])
    model.append(model[0] if draw(st.booleans()) and len(model) else nn.Identity())
    for module in model.modules():
        module.training = draw(st.booleans())
    for parameter in model.parameters():
        parameter.requires_grad_(draw(st.booleans()))
        if draw(st.booleans()):
            parameter.grad = torch.ones_like(parameter)
    if draw(st.booleans()):
        model.register_forward_hook(lambda module, args, output: output * 2)
    return model


@settings(max_examples=20, deadline=None)
@given(model=models(), inputs=st.sampled_from([(images(),), None, ("2x3x8x8",), (torch.ones(1),)]))
def test_nothing_changes_in_generated_models(model: nn.Module, inputs: Any) -> None:
    assert_untouched(model, inputs)


@pytest.mark.parametrize("model", [ConvNet(), PooledBranch(), RecurrentTokens()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("training", [True, False])
def test_nothing_changes_in_the_tests_own_models(model: nn.Module, training: bool) -> None:
    assert_untouched(with_plausible_statistics(model).train(training), None)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["levit_128s", "efficientformer_l1"])
def test_attention_caches_are_not_filled(name: str, look: str) -> None:
    import timm

    model = timm.create_model(name).eval()
    before = snapshot(model)
    LOOKS[look](model, None)
    assert snapshot(model) == before
    assert all(not cache for cache in caches(model))


def test_a_filled_cache_keeps_its_values_and_the_outputs_stay() -> None:
    import timm

    model = timm.create_model("levit_128s").eval()
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = model(image)
    assert any(caches(model))
    before = snapshot(model)
    bnlint.check(model)
    assert snapshot(model) == before
    with torch.no_grad():
        assert torch.equal(model(image), expected)


def caches(model: nn.Module) -> Iterator[dict[Any, Any]]:
    found = [vars(module).get("attention_bias_cache") for module in model.modules()]
    assert any(cache is not None for cache in found)
    yield from (cache for cache in found if cache is not None)


def test_a_hook_that_collects_activations_collects_nothing() -> None:
    model, collected, by_name = ConvNet().eval(), [], {}
    model.bn1.register_forward_hook(lambda module, args, output: collected.append(output))
    model.bn2.register_forward_hook(lambda module, args, output: by_name.update(bn2=output))
    bnlint.check(model, inputs=(images(),))
    assert collected == []
    assert by_name == {}


def test_the_inputs_are_not_written_to() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), block()).eval()
    image = images()
    for look in LOOKS.values():
        look(model, (image,))
        assert torch.equal(image, images())
    reads_values = nn.Sequential(nn.ReLU(inplace=True), Noisy(reads_values=True), block()).eval()
    bnlint.check(reads_values, inputs=(image,))
    assert torch.equal(image, images())


class Reseeds(nn.Module):
    """Draws and seeds in its forward, then cannot be traced: every attempt of the road runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.block = block()

    def forward(self, x: Tensor) -> Tensor:
        import random

        import numpy

        torch.manual_seed(7)
        random.seed(7)
        numpy.random.seed(7)
        torch.rand(3)
        torch.set_default_dtype(torch.float64)
        raise RuntimeError(f"after {random.random()} {numpy.random.rand()} {self.block(x)}")


@pytest.mark.parametrize("inputs", [None, (images(),)], ids=["without-input", "with-input"])
def test_the_state_of_the_process_stays_also_where_the_forward_fails(inputs: Any) -> None:
    assert_untouched(Reseeds(), inputs)


def test_a_model_on_the_meta_device_stays_there() -> None:
    with torch.device("meta"):
        model = ConvNet()
    assert_untouched(model, (images(),))


def test_a_lazy_model_stays_lazy() -> None:
    assert_untouched(nn.Sequential(nn.LazyConv2d(3, 1), nn.LazyBatchNorm2d()), (images(),))


class KnowsItsParent(nn.Module):
    """Reaches its parent by a weak reference, so that the module tree stays a tree."""

    def __init__(self, parent: nn.Module) -> None:
        super().__init__()
        self.parent = weakref.ref(parent)

    def forward(self, x: Tensor) -> Tensor:
        parent = self.parent()
        parent.steps += 1
        return parent.bn(x)


def test_a_parent_behind_a_weak_reference_is_not_run() -> None:
    model = nn.Sequential()
    model.steps, model.bn = 0, nn.BatchNorm2d(3)
    model.child = KnowsItsParent(model)
    model.forward = lambda x: model.child(x)  # noqa: PLW0108 (a closure over the model itself)
    assert_untouched(model.train(), (images(),))
    assert [call.layer for call in bnlint.trace(model, (images(),)).norm_calls] == ["bn"]


def test_a_hook_that_removes_itself_stays_registered() -> None:
    model = block()
    model.handle = model[0].register_forward_hook(lambda module, args, output: model.handle.remove())
    assert_untouched(model, (images(),))
    assert len(model[0]._forward_hooks) == 1


def test_no_line_is_read_from_the_keyboard() -> None:
    model = block()
    model.register_forward_pre_hook(lambda module, args: (args[0] + float(input("offset? ")),))
    trace = bnlint.trace(model.eval(), (images(),), timeout=5)
    assert "EOFError" in trace.reason
