"""Real models are seen whole, and their graphs compute what they compute."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from bnlint.norms.classes import norm_kind
from bnlint.tracing.kinds import How
from bnlint.tracing.trace import Trace
from tests.models import with_plausible_statistics
from tests.tracing.proof import assert_same, leaves, run
from tests.tracing.snapshot import snapshot
from tests.zoo.families import FAMILIES, HARDEST, batch_norms, own_images, small_images, without_weights

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

pytestmark = pytest.mark.filterwarnings("ignore")  # timm and torchvision warn about themselves

NAMES = (*FAMILIES.values(), *HARDEST)
LARGE = ("nasnetalarge", "pnasnet5large", "vgg11_bn")
"""Models of more than 80 million parameters: their weights take longer to draw than all the rest here."""


def traced(model: nn.Module, inputs: tuple[Tensor, ...]) -> Trace:
    """A whole and valid trace that left the model (statistics, flags, hooks, attention caches) as it was."""
    before = snapshot(model)
    trace = bnlint.trace(model, inputs)
    assert snapshot(model) == before
    trace.graph.lint()
    assert (trace.how, trace.complete) == (How.RECORDED, True), trace.reason
    return trace


class Noted(fx.Interpreter):
    """Runs a graph and notes the input of each call of a BatchNorm."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace.graph_module())
        self.inputs: dict[str, list[Tensor]] = defaultdict(list)
        # By name: the graph module holds a copy of the graph.
        self._layers = {call.node.name: call.layer for call in trace.norm_calls if call.kind == "batch_norm"}

    def run_node(self, n: fx.Node) -> Any:
        layer = self._layers.get(n.name)
        if layer is not None:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            self.inputs[layer].append((args[0] if args else kwargs["input"]).clone())
        return super().run_node(n)


def run_noted(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Any, dict[str, list[Tensor]]]:
    """The output of the model itself, and the input of each call of a BatchNorm in it."""
    noted: dict[str, list[Tensor]] = defaultdict(list)
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda _, args, path=path: noted[path].append(args[0].clone())
        )
        for path in batch_norms(model)
    ]
    output = run(model, inputs)
    for handle in handles:
        handle.remove()
    return output, noted


def prove_same(model: nn.Module, trace: Trace, inputs: tuple[Tensor, ...]) -> None:
    """The graph module gives the model's output, and each BatchNorm call gets the input that its layer gets.

    Both bit for bit: the graph makes the same calls in the same order. The output alone would be a weak proof, since
    random weights let little of what happens early reach it.
    """
    output, expected = run_noted(model, inputs)
    assert all(value.isfinite().all() for value in leaves(output) if isinstance(value, Tensor))
    assert_same(run(trace.graph_module(), inputs), output)
    interpreter = Noted(trace)
    with torch.no_grad():
        interpreter.run(*(value.clone() for value in inputs))
    assert interpreter.inputs.keys() == expected.keys()
    for layer, values in expected.items():
        assert_same(interpreter.inputs[layer], values)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_seen_without_weights(name: str) -> None:
    model = without_weights(name)
    trace = traced(model, (own_images(model),))
    assert {call.layer for call in trace.norm_calls if call.kind == "batch_norm"} == batch_norms(model)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LARGE])
def test_the_graph_of_a_timm_model_computes_what_the_model_computes(name: str) -> None:
    torch.manual_seed(0)
    model = with_plausible_statistics(timm.create_model(name)).eval()
    inputs = (small_images(name),)
    prove_same(model, traced(model, inputs), inputs)


IMAGES, VIDEO = (2, 3, 64, 64), (1, 3, 8, 32, 32)

TORCHVISION: dict[str, list[tuple[int, ...]]] = {
    "googlenet": [IMAGES],
    "inception_v3": [(2, 3, 96, 96)],
    "mobilenet_v3_small": [IMAGES],
    "shufflenet_v2_x0_5": [IMAGES],
    "mnasnet0_5": [IMAGES],
    "densenet121": [IMAGES],
    "regnet_y_400mf": [IMAGES],
    "efficientnet_b0": [IMAGES],
    "resnet18": [IMAGES],
    "maxvit_t": [(1, 3, 224, 224)],
    "lraspp_mobilenet_v3_large": [IMAGES],
    "deeplabv3_mobilenet_v3_large": [IMAGES],
    "fcn_resnet50": [IMAGES],
    "r3d_18": [VIDEO],
    "mc3_18": [VIDEO],
    "r2plus1d_18": [VIDEO],
    "raft_small": [(1, 3, 128, 128)] * 2,
}
NEVER_CALLED_IN_EVAL = {
    "googlenet": {"aux1.conv.bn", "aux2.conv.bn"},
    "inception_v3": {"AuxLogits.conv0.bn", "AuxLogits.conv1.bn"},
}


OFFLINE = {"weights": None, "weights_backbone": None}
SETTINGS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False},  # drawing them takes a minute
    "inception_v3": {"init_weights": False},
    "lraspp_mobilenet_v3_large": OFFLINE,
    "deeplabv3_mobilenet_v3_large": OFFLINE,
    "fcn_resnet50": OFFLINE,
    "ssdlite320_mobilenet_v3_large": OFFLINE,
    "fasterrcnn_mobilenet_v3_large_fpn": OFFLINE,
}


def of_torchvision(name: str) -> nn.Module:
    torch.manual_seed(0)
    return with_plausible_statistics(torchvision.models.get_model(name, **SETTINGS.get(name, {}))).eval()


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_graph_of_a_torchvision_model_computes_what_the_model_computes(name: str) -> None:
    model = of_torchvision(name)
    inputs = tuple(torch.randn(shape) for shape in TORCHVISION[name])
    trace = traced(model, inputs)
    prove_same(model, trace, inputs)
    seen = {call.layer for call in trace.norm_calls if call.kind == "batch_norm"}
    assert batch_norms(model) - seen == NEVER_CALLED_IN_EVAL.get(name, set())


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_fpn"])
def test_every_layer_of_a_detection_model_is_seen_and_the_rest_has_a_reason(name: str) -> None:
    """They filter boxes by their scores, so they are run with values; where torchvision's own operators do not load,
    the run stops at the first of them."""
    model = of_torchvision(name)
    trace = bnlint.trace(model, ([torch.rand(3, 160, 160)],))
    layers = {path for path, layer in model.named_modules() if norm_kind(layer) is not None}
    assert {call.layer for call in trace.norm_calls} == layers
    assert len(layers) > 40
    if torchvision.extension._has_ops():
        assert (trace.how, trace.complete) == (How.RECORDED_WITH_VALUES, True)
        assert "needs values at torchvision/models/detection/" in trace.reason
    else:
        assert (trace.how, trace.complete) == (How.PARTIAL, False)
        assert "Couldn't load custom C++ ops" in trace.reason
        assert f"{len(layers)} of {len(layers)} normalisation layers were seen" in trace.reason
