"""What the user's own class cannot express and a graph can."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from tests.folding.layers import affines, model_of, value
from tests.folding.proof import batch_norms, outputs, reference, relative_error


class Functional(nn.Module):
    def __init__(self, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 6, 3)
        self.scale = nn.Parameter(torch.tensor([0.5, -1, 2, 1, -0.1, 3])) if affine else None
        self.shift = nn.Parameter(torch.linspace(-1, 1, 6)) if affine else None
        self.register_buffer("mean", torch.linspace(-2, 2, 6))
        self.register_buffer("variance", torch.tensor([1e-6, 0.1, 1, 2, 3, 100]))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.conv(x), self.mean, self.variance, self.scale, self.shift, eps=1e-3)


def assert_folds_as_graph(layers: nn.Module, *inputs: Tensor) -> None:
    layers = layers.double().eval()
    inputs = tuple(tensor.double() for tensor in inputs)
    expected = reference(layers, inputs)
    result = bnlint.fold(layers, inputs, as_graph=True)
    assert isinstance(result.model, torch.fx.GraphModule)
    assert (result.kept, batch_norms(result.model), result.verified) == ((), [], True)
    assert not any("batch_norm" in str(node.target) for node in result.model.graph.nodes if node.op == "call_function")
    assert relative_error(expected, outputs(result.model, inputs)) < 1e-10


@affines
def test_function(affine: bool) -> None:
    assert_folds_as_graph(Functional(affine), value())


def test_function_is_kept_in_the_class_of_the_user() -> None:
    result = bnlint.fold(Functional().eval(), (value(),))
    assert "only a graph can do without" in result.kept[0].reason


def test_function_with_a_computed_scale() -> None:
    class Computed(Functional):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(self.conv(x), self.mean, self.variance, self.scale.exp(), self.shift + 1)

    layers = Computed().double().eval()
    expected = reference(layers, (value(),))
    result = bnlint.fold(layers, (value().double(),), as_graph=True)
    assert relative_error(expected, outputs(result.model, (value().double(),))) < 1e-10


def test_a_convolution_shared_by_two_norms() -> None:
    """pytorch/pytorch#104593: each call gets a copy."""
    assert_folds_as_graph(
        model_of(
            lambda m, x: m.bn(m.conv(x)) + m.bn2(m.conv(x.flip(3))),
            conv=nn.Conv2d(8, 6, 3), bn=nn.BatchNorm2d(6), bn2=nn.BatchNorm2d(6),
        ),
        value(),
    )  # fmt: skip


def test_a_convolution_called_once_with_and_once_without_a_norm() -> None:
    assert_folds_as_graph(
        model_of(lambda m, x: m.bn(m.conv(x)) + m.conv(x.flip(3)), conv=nn.Conv2d(8, 6, 3), bn=nn.BatchNorm2d(6)),
        value(),
    )


def test_a_norm_of_which_one_call_folds_upstream_and_one_downstream() -> None:
    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(m.bn(m.conv(x).tanh())) + m.bn(m.conv2(x))

    assert_folds_as_graph(
        model_of(
            compute, conv=nn.Conv2d(8, 6, 1), conv2=nn.Conv2d(8, 6, 1), bn=nn.BatchNorm2d(6), head=nn.Conv2d(6, 6, 1)
        ),
        value(),
    )
