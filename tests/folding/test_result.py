"""What a fold gives back: a plain module of the user's class that does all that the original did."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import bnlint
from bnlint.errors import NotAnalysedError, UsageError
from tests.folding.models import chaotic
from tests.folding.proof import (
    Chain,
    awkward,
    batch_norms,
    images,
    outputs,
    reference,
    relative_error,
    with_positive_gains,
)
from tests.models import ConvNet, PooledBranch

IMAGES = images(2, 3, 16, 16)


def convnet(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return awkward(ConvNet(), seed)


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All that a fold could change in a model, apart from what its tensors hold."""
    return {
        path: (id(module), type(module), module.training, sorted(module._parameters), sorted(module.__dict__))
        for path, module in model.named_modules(remove_duplicate=False)
    }


def tensors(model: nn.Module) -> dict[str, tuple[int, Tensor]]:
    return {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in model.state_dict().items()}


def same_tensors(before: dict[str, tuple[int, Tensor]], after: dict[str, tuple[int, Tensor]]) -> bool:
    return before.keys() == after.keys() and all(
        before[name][0] == after[name][0] and torch.equal(before[name][1], after[name][1]) for name in before
    )


# A plain module


def test_the_class_stays_and_the_norms_are_identities() -> None:
    result = bnlint.fold(convnet(), (IMAGES,))
    assert type(result.model) is ConvNet
    assert type(result.model.bn1) is type(result.model.bn2) is nn.Identity
    assert {type(module).__module__.partition(".")[0] for module in result.model.modules()} <= {"torch", "tests"}
    assert result.kept == ()
    assert [(fold.layer, fold.into) for fold in result.folds] == [("bn1", ("conv1",)), ("bn2", ("conv2",))]
    assert all(fold.error is not None and fold.error < 1e-10 for fold in result.folds)


def test_it_pickles_where_bnlint_is_not_installed(tmp_path: Path) -> None:
    model = awkward(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)))
    expected = reference(model, (IMAGES,))
    torch.save(bnlint.fold(model, (IMAGES,)).model, tmp_path / "folded.pt")
    code = (
        "import sys, torch; sys.modules['bnlint'] = None\n"
        "model = torch.load(sys.argv[1], weights_only=False)\n"
        "torch.save(model(torch.load(sys.argv[2])), sys.argv[3])\n"
    )
    torch.save(IMAGES, tmp_path / "images.pt")
    names = [str(tmp_path / name) for name in ("folded.pt", "images.pt", "outcome.pt")]
    subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=tmp_path, timeout=120)
    assert relative_error(expected, [torch.load(names[2]).double()]) < 2e-5


def test_it_pickles_and_copies() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    again = pickle.loads(pickle.dumps(folded))
    assert torch.equal(again(IMAGES), folded(IMAGES))
    assert torch.equal(copy.deepcopy(folded)(IMAGES), folded(IMAGES))


def test_its_state_saves_and_loads() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    assert not any("running" in name or name.startswith("bn") for name in folded.state_dict())
    buffer = io.BytesIO()
    torch.save(folded.state_dict(), buffer)
    buffer.seek(0)
    other = bnlint.fold(convnet(seed=1), (IMAGES,)).model
    other.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    assert torch.equal(other(IMAGES), folded(IMAGES))


def test_it_exports() -> None:
    model = convnet()
    exported = torch.export.export(bnlint.fold(model, (IMAGES,)).model, (IMAGES,))
    assert not any("batch_norm" in str(node.target) for node in exported.graph.nodes)
    assert relative_error(reference(model, (IMAGES,)), outputs(exported.module(), (IMAGES,))) < 2e-5


def test_it_scripts_where_the_original_does() -> None:
    model = convnet()
    scripted = torch.jit.script(bnlint.fold(model, (IMAGES,)).model)
    assert relative_error(reference(model, (IMAGES,)), outputs(scripted, (IMAGES,))) < 2e-5


def test_it_compiles() -> None:
    model = convnet()
    compiled = torch.compile(bnlint.fold(model, (IMAGES,)).model, backend="aot_eager", fullgraph=True)
    assert relative_error(reference(model, (IMAGES,)), outputs(compiled, (IMAGES,))) < 2e-5


def test_it_traces() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    assert torch.equal(torch.fx.symbolic_trace(folded)(IMAGES), folded(IMAGES))


def test_it_learns() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    folded(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in folded.parameters())


# Kept properties


@pytest.mark.parametrize("frozen", [False, True])
def test_whether_parameters_learn_is_kept(frozen: bool) -> None:
    model = convnet().requires_grad_(not frozen)
    model.head.requires_grad_(frozen)
    folded = bnlint.fold(model, (IMAGES,)).model
    learns = {name: parameter.requires_grad for name, parameter in folded.named_parameters()}
    expected = {name: parameter.requires_grad for name, parameter in model.named_parameters() if "bn" not in name}
    assert learns == expected | {"conv1.bias": not frozen, "conv2.bias": not frozen}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_data_type_is_kept(dtype: torch.dtype) -> None:
    folded = bnlint.fold(convnet().to(dtype), (IMAGES.to(dtype),)).model
    assert {parameter.dtype for parameter in folded.parameters()} == {dtype}
    assert folded(IMAGES.to(dtype)).dtype == dtype


def test_convolutions_in_half_precision_with_norms_in_single() -> None:
    model = convnet()
    for norm in batch_norms(model):
        model.get_submodule(norm).running_var.uniform_(0.5, 2)
    model.to(torch.bfloat16)
    model.bn1.float()
    model.bn2.float()
    result = bnlint.fold(model, (IMAGES.bfloat16(),))
    assert (result.kept, {p.dtype for p in result.model.parameters()}) == ((), {torch.bfloat16})
    expected = reference(model, (IMAGES.bfloat16(),))
    assert relative_error(expected, outputs(result.model, (IMAGES,), torch.bfloat16)) < 1e-1


def test_the_device_is_kept() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    assert {tensor.device for tensor in folded.state_dict().values()} == {torch.device("cpu")}


def test_the_memory_format_is_kept() -> None:
    model = convnet().to(memory_format=torch.channels_last)
    folded = bnlint.fold(model, (IMAGES.to(memory_format=torch.channels_last),)).model
    for name in ("conv1", "conv2"):
        weight = folded.get_submodule(name).weight
        assert weight.stride() == model.get_submodule(name).weight.stride()
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_parameters_stay_the_objects_that_they_were_in_place() -> None:
    """An optimiser or an average of weights that holds them still does."""
    model = convnet()
    weight = model.conv1.weight
    bnlint.fold(model, (IMAGES,), inplace=True)
    assert model.conv1.weight is weight


# The original


def test_the_original_is_untouched() -> None:
    model = convnet()
    before, values = snapshot(model), tensors(model)
    bnlint.fold(model, (IMAGES,))
    bnlint.plan(model, (IMAGES,))
    assert snapshot(model) == before
    assert same_tensors(values, tensors(model))
    assert all(parameter.grad is None for parameter in model.parameters())


class Caching(nn.Module):
    """Keeps what it computed, as LeViT and EfficientFormer do with their attention biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.table = nn.Parameter(torch.randn(4, 1, 1))
        self.cache: dict[str, Tensor] = {}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if str(x.device) not in self.cache:
            self.cache[str(x.device)] = self.table * 2
        return self.bn(self.conv(x)) + self.cache[str(x.device)]


def test_a_cache_of_the_original_is_untouched() -> None:
    model = awkward(Caching())
    result = bnlint.fold(model, (IMAGES,))
    assert (model.cache, model.calls) == ({}, 0)
    assert (result.model.cache, result.model.calls) == ({}, 0)
    assert result.verified


def test_the_given_inputs_are_untouched() -> None:
    given_images = IMAGES.clone()
    model = awkward(Chain(activation=nn.ReLU(inplace=True), conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))
    bnlint.fold(model, (given_images,))
    assert torch.equal(given_images, IMAGES)


def test_in_place_gives_back_the_same_object() -> None:
    model = convnet()
    expected = reference(model, (IMAGES,))
    result = bnlint.fold(model, (IMAGES,), inplace=True)
    assert result.model is model
    assert batch_norms(model) == []
    assert relative_error(expected, outputs(model, (IMAGES,))) < 2e-5


def test_in_place_is_not_done_where_the_proof_fails() -> None:
    model = chaotic()
    before, values = snapshot(model), tensors(model)
    result = bnlint.fold(model, (IMAGES,), inplace=True)
    assert not result.verified
    assert snapshot(model) == before
    assert same_tensors(values, tensors(model))


def test_random_state_is_untouched() -> None:
    for model in (
        convnet(),
        awkward(Chain(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4), drop=F.dropout)),
    ):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        with contextlib.suppress(NotAnalysedError):  # the second cannot be proved
            bnlint.fold(model, (IMAGES,))
        bnlint.plan(model, (IMAGES,))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradient_mode_and_default_type_are_untouched(mode: Any) -> None:
    model = convnet()
    with mode():
        before = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype())
        result = bnlint.fold(model, (IMAGES,))
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()) == before
    assert result.verified


# Again, and in training mode


def test_a_folded_model_has_nothing_left_to_fold() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    values = tensors(folded)
    again = bnlint.fold(folded, (IMAGES,))
    assert (again.folds, again.kept, again.verified) == ((), (), True)
    assert [torch.equal(tensor, values[name][1]) for name, tensor in again.model.state_dict().items()] == [True] * 6
    report = bnlint.check(folded, inputs=(IMAGES,))
    assert not {"BN601", "BN602"} & {finding.code for finding in report.findings}


def test_training_mode_is_harmless() -> None:
    folded = bnlint.fold(convnet(), (IMAGES,)).model
    expected = folded(IMAGES)
    before = {name: tensor.clone() for name, tensor in folded.state_dict().items()}
    folded.train()
    assert torch.equal(folded(IMAGES), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in folded.state_dict().items())
    assert all(module.training for module in folded.modules())


# The plan


def conv_nets() -> st.SearchStrategy[list[tuple[str, int]]]:
    step = st.tuples(
        st.sampled_from(["conv", "grouped", "norm", "relu", "pool", "skip", "drop", "split", "branch"]),
        st.integers(0, 3),
    )
    return st.lists(step, min_size=1, max_size=9)


class Generated(nn.Module):
    """A network of 8 channels from a list of steps: layers in a row, skip connections and parallel branches."""

    def __init__(self, steps: list[tuple[str, int]]) -> None:
        super().__init__()
        self.steps = steps
        for index, (kind, variant) in enumerate(steps):
            for name, layer in self._layers(kind, variant).items():
                self.add_module(f"{name}{index}", layer)

    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for index, (kind, variant) in enumerate(self.steps):
            layers = {name: getattr(self, f"{name}{index}") for name in self._layers(kind, variant)}
            x = self._step(kind, x, kept[variant % len(kept)], layers)
            kept.append(x)
        return x

    @staticmethod
    def _layers(kind: str, variant: int) -> dict[str, nn.Module]:
        return {
            "conv": {"layer": nn.Conv2d(8, 8, 1 + 2 * (variant % 2), padding=variant % 2, bias=variant > 1)},
            "grouped": {"layer": nn.Conv2d(8, 8, 3, padding=1, groups=(2, 4, 8, 1)[variant])},
            "norm": {"layer": nn.BatchNorm2d(8, affine=variant > 0)},
            "relu": {"layer": nn.ReLU(inplace=variant == 0)},
            "pool": {"layer": nn.AvgPool2d(3, 1, 1, count_include_pad=variant > 1)},
            "drop": {"layer": nn.Dropout()},
            "skip": {},
            "split": {"layer": nn.BatchNorm2d(4)},
            "branch": {"conv": nn.Conv2d(8, 8, 3, padding=1), "side": nn.Conv2d(8, 8, 1), "norm": nn.BatchNorm2d(8)},
        }[kind]

    @staticmethod
    def _step(kind: str, x: Tensor, earlier: Tensor, layers: dict[str, nn.Module]) -> Tensor:
        if kind == "skip":
            return x + earlier
        if kind == "split":
            first, second = x.chunk(2, 1)
            return torch.cat([layers["layer"](first), second], 1)
        if kind == "branch":
            return layers["conv"](x) + layers["norm"](x) + layers["side"](x)
        return layers["layer"](x)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conv_nets(), st.booleans())
def test_folding_twice_is_folding_once(steps: list[tuple[str, int]], positive: bool) -> None:
    torch.manual_seed(0)
    model = awkward(Generated(steps)).double()
    if positive:
        for norm in batch_norms(model):
            if model.get_submodule(norm).weight is not None:
                model.get_submodule(norm).weight.data.abs_()
    inputs = (images(2, 8, 6, 6).double(),)
    expected = outputs(model, inputs)
    once = bnlint.fold(model, inputs)
    assert relative_error(expected, outputs(once.model, inputs)) < 1e-9
    twice = bnlint.fold(once.model, inputs)
    assert twice.folds == ()
    assert {kept.layer for kept in twice.kept} == {kept.layer for kept in once.kept}
    before, after = once.model.state_dict(), twice.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_plan_on_the_meta_device_is_the_plan_on_weights() -> None:
    for make in (ConvNet, PooledBranch):
        with torch.device("meta"):
            without_weights = make().eval()
        real, meta = bnlint.plan(convnet(), ("2x3x16x16",)), None
        real = bnlint.plan(awkward(make()), ("2x3x16x16",))
        meta = bnlint.plan(without_weights, ("2x3x16x16",))
        assert [(f.layer, f.into, f.through) for f in real.folds] == [(f.layer, f.into, f.through) for f in meta.folds]
        assert real.kept == meta.kept
        assert real.folds


def test_a_model_without_norms() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    result = bnlint.fold(model, (IMAGES,))
    assert (result.folds, result.kept) == ((), ())
    assert torch.equal(result.model(IMAGES), model(IMAGES))


def test_maxima_depend_on_the_signs() -> None:
    chain = awkward(Chain(conv=nn.Conv2d(3, 4, 1), pool=nn.MaxPool2d(2), bn=nn.BatchNorm2d(4)))
    assert bnlint.plan(chain, (IMAGES,)).kept
    assert not bnlint.plan(with_positive_gains(chain), (IMAGES,)).kept


# Refusals


def test_statistics_that_were_never_updated() -> None:
    model = ConvNet().eval()
    with pytest.raises(UsageError, match="no batch has updated"):
        bnlint.fold(model, (IMAGES,))
    assert bnlint.fold(model, (IMAGES,), force=True).verified


@pytest.mark.parametrize(("name", "number"), [("running_mean", float("nan")), ("running_var", -1.0)])
def test_statistics_that_are_not_finite(name: str, number: float) -> None:
    model = convnet()
    getattr(model.bn2, name)[3] = number
    with pytest.raises(NotAnalysedError, match="bn2 are not finite"):
        bnlint.fold(model, (IMAGES,))


def test_an_infinite_variance() -> None:
    """Its gain is 0: PyTorch gives the bias, without a word."""
    model = convnet()
    model.bn2.running_var[3] = float("inf")
    with pytest.raises(NotAnalysedError, match="bn2"):
        bnlint.fold(model, (IMAGES,))


def test_a_model_without_weights() -> None:
    with torch.device("meta"):
        model = ConvNet().eval()
    with pytest.raises(NotAnalysedError, match="no weights"):
        bnlint.fold(model, ("2x3x16x16",))


def test_a_model_in_training_mode() -> None:
    with pytest.raises(UsageError, match="training mode"):
        bnlint.fold(convnet().train(), (IMAGES,))
