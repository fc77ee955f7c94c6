"""What goes in and out of a model, and the ways of writing a forward: the graph computes what the model computes."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from tests.tracing.proof import Call, block, images, prove


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@dataclasses.dataclass
class Output:
    logits: Tensor
    extra: dict[str, Any]


class Model(nn.Module):
    """A block, a BatchNorm, and a forward that each test gives."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.block = block()
        self.bn = nn.BatchNorm2d(3)
        self.code = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.code(self, *args, **kwargs)


def returns_dict(self: Model, x: Tensor) -> dict[str, Any]:
    y = self.block(x)
    return {"y": y, "nested": [{"z": self.bn(y)}, None], "name": "out"}


def returns_ordered_dict(self: Model, x: Tensor) -> OrderedDict[str, Tensor]:
    y = self.block(x)
    return OrderedDict(z=self.bn(y), y=y)


def takes_dict_of_lists(self: Model, batch: dict[str, list[Tensor]]) -> Tensor:
    return self.bn(self.block(batch["x"][0])) + batch["x"][1]


def takes_keywords(self: Model, x: Tensor, *, scale: Tensor, mask: Tensor | None = None, flag: bool = False) -> Tensor:
    y = self.bn(self.block(x)) * scale
    return y if mask is None and flag else y * 0


def returns_dataclass(self: Model, x: Tensor) -> Output:
    y = self.block(x)
    return Output(y, {"k": [self.bn(y), None]})


def takes_dataclass(self: Model, batch: Output) -> Tensor:
    return self.bn(self.block(batch.logits)) + batch.extra["offset"]


def takes_named_tuple(self: Model, pair: Pair) -> Pair:
    return Pair(self.block(pair.left), self.bn(pair.right))


def branches_on_shapes(self: Model, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    x = self.block(x) if h == w and len(x) == n else self.bn(x)
    for _ in range(c - 1):
        x = self.bn(x)
    return x.view(n, -1, *x.shape[2:]).mean(dim=tuple(range(2, x.dim())))


def writes_in_place(self: Model, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :2] = x[:, :2]
    y[:, 2:].add_(x[:, 2:])
    y.relu_()
    y.view(y.shape[0], -1).mul_(2)
    y += 1
    return self.bn(self.block(y))


def writes_into_its_input(self: Model, x: Tensor) -> Tensor:
    x.mul_(2)
    torch.add(x, 1, out=x)
    return self.bn(self.block(x))


def reshapes_in_place(self: Model, x: Tensor) -> Tensor:
    y = self.block(x).mean((2, 3))
    y.unsqueeze_(-1).unsqueeze_(-1)
    return self.bn(y).squeeze()


def writes_through_data(self: Model, x: Tensor) -> Tensor:
    y = x * 1
    y.data = x + 1
    return self.bn(self.block(y))


def splits_and_joins(self: Model, x: Tensor) -> tuple[Tensor, ...]:
    a, b, c = x.split(1, dim=1)
    largest, where = torch.cat([c, a, b], 1).max(dim=1, keepdim=True)
    first, *rest = x.unbind(1)
    stacked = torch.stack([first, *rest], 1)[..., None, :, :].squeeze(2)
    return self.bn(self.block(stacked)), largest, where


def indexes(self: Model, x: Tensor) -> Tensor:
    order = torch.tensor([2, 0, 1])
    return self.bn(self.block(x[:, order])[:, :, ::2, 1:])


def operators_and_scalars(self: Model, x: Tensor) -> Tensor:
    y = 1 - self.block(x) / 3 + (2**-x).clamp(max=1) @ x
    return self.bn(-y * torch.finfo(x.dtype).eps + x.new_tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))


def random_noise(self: Model, x: Tensor) -> Tensor:
    return self.bn(self.block(x + torch.randn_like(x) * torch.rand(1, 3, 1, 1)))


def functional_call(self: Model, x: Tensor) -> Tensor:
    x = self.block(x)
    mean, variance = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0])
    return F.layer_norm(F.batch_norm(x, mean, variance, eps=1e-3), (8, 8))


def layer_through_its_tensors(self: Model, x: Tensor) -> Tensor:
    bn = self.bn
    x = F.conv2d(x, self.block[0].weight, self.block[0].bias, padding=1)
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, False, 0.1, bn.eps)


def forward_past_call(self: Model, x: Tensor) -> Tensor:
    return self.bn.forward(self.block.forward(x))


BLOCK, BN = Call("block.1"), Call("bn")
ONE = (images(),)

FORWARDS = [
    (lambda self, x: (self.block(x), [self.bn(x), None, 3]), ONE, [BLOCK, BN]),
    (returns_dict, ONE, [BLOCK, BN]),
    (returns_ordered_dict, ONE, [BLOCK, BN]),
    (takes_dict_of_lists, ({"x": [images(), images()]},), [BLOCK, BN]),
    (takes_keywords, {"x": images(), "scale": torch.tensor(2.0), "mask": None, "flag": True}, [BLOCK, BN]),
    (returns_dataclass, ONE, [BLOCK, BN]),
    (takes_dataclass, (Output(images(), {"offset": torch.ones(1)}),), [BLOCK, BN]),
    (takes_named_tuple, (Pair(images(), images()),), [BLOCK, BN]),
    (lambda self, x, y, z: self.bn(self.block(x) + y) * z, (images(), images(), torch.ones(1)), [BLOCK, BN]),
    (branches_on_shapes, ONE, [BLOCK, BN, BN]),
    (writes_in_place, ONE, [BLOCK, BN]),
    (writes_into_its_input, ONE, [BLOCK, BN]),
    (reshapes_in_place, ONE, [BLOCK, BN]),
    (writes_through_data, ONE, [BLOCK, BN]),
    (splits_and_joins, ONE, [BLOCK, BN]),
    (indexes, ONE, [BLOCK, BN]),
    (operators_and_scalars, ONE, [BLOCK, BN]),
    (random_noise, ONE, [BLOCK, BN]),
    (lambda self, x: self.bn(self.bn(self.bn(x))), ONE, [BN, BN, BN]),
    (functional_call, ONE, [BLOCK, Call("", functional=True), Call("", "layer_norm", functional=True)]),
    (layer_through_its_tensors, ONE, [BN]),
    (forward_past_call, ONE, [BLOCK, BN]),
]


def name_of(value: Any) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize(("forward", "inputs", "calls"), FORWARDS, ids=name_of)
def test_the_graph_computes_what_the_model_computes(forward: Any, inputs: Any, calls: list[Call]) -> None:
    prove(Model(forward), inputs, calls)


class Tokens(nn.Module):
    """Embedding, positions made in the forward, weight tying."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.bn = nn.BatchNorm1d(6)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device).clamp(max=3)
        x = self.embedding(tokens) + self.embedding(positions)[None]
        x = x.masked_fill((positions[None] >= lengths[:, None])[..., None], 0.0)
        return F.linear(self.bn(x.transpose(1, 2)).transpose(1, 2), self.embedding.weight)


def test_integer_inputs_masks_and_tied_weights() -> None:
    tokens = torch.randint(0, 50, (2, 5), generator=torch.Generator().manual_seed(0))
    prove(Tokens(), (tokens, torch.tensor([3, 5])), [Call("bn")])


class Hidden(nn.Module):
    """Modules that are in no module tree: in lists, dicts, closures and plain objects."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = [block(), block()]
        self.by_name = {"a": (nn.BatchNorm2d(3),)}
        captured = block()
        self.closure = lambda x: captured(x)  # noqa: PLW0108
        self.holder = Holder(nn.BatchNorm2d(3))
        for bn in (self.listed[0][1], self.listed[1][1], self.by_name["a"][0], captured[1], self.holder.inner):
            nn.init.uniform_(bn.running_mean)
            bn.eval()

    def forward(self, x: Tensor) -> Tensor:
        for part in self.listed:
            x = part(x)
        return self.holder.inner(self.closure(self.by_name["a"][0](x)))


class Holder:
    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner


def test_modules_outside_the_module_tree() -> None:
    hidden = ["listed[0].1", "listed[1].1", "by_name['a'][0]", "closure.captured.1", "holder.inner"]
    prove(Hidden(), (images(),), [Call(path, registered=False) for path in hidden])


def test_an_attribute_of_an_attribute() -> None:
    model = nn.ModuleDict({"a": nn.ModuleList([nn.Sequential(block())])})
    model.forward = lambda x: model.a[0][0](x)  # noqa: PLW0108
    prove(model, (images(),), [Call("a.0.0.1")])


class ActivatedNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class FrozenBatchNorm2d(nn.Module):
    """The arithmetic by hand, as in detection libraries."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(3) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale.view(1, -1, 1, 1) + (self.bias - self.running_mean * scale).view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (ActivatedNorm(3), "batch_norm"),
        (FrozenBatchNorm2d(), "batch_norm"),
        (nn.SyncBatchNorm(3), "batch_norm"),
        (nn.BatchNorm2d(3, affine=False), "batch_norm"),
        (nn.BatchNorm2d(3, track_running_stats=False), "batch_norm"),
        (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), "instance_norm"),
        (nn.LayerNorm([3, 8, 8]), "layer_norm"),
        (nn.GroupNorm(3, 3), "group_norm"),
        (nn.RMSNorm([3, 8, 8]), "rms_norm"),
        (nn.LocalResponseNorm(2), "local_response_norm"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else value,
)
def test_every_kind_of_layer_is_one_call(layer: nn.Module, kind: str) -> None:
    prove(nn.Sequential(block()[0], layer), (images(),), [Call("1", kind)])


def test_a_value_that_leaves_the_graph_is_not_taken_for_complete() -> None:
    def through_numpy(self: Model, x: Tensor) -> Tensor:
        return self.bn(torch.from_numpy(self.block(x).detach().numpy()))

    trace = bnlint.trace(Model(through_numpy).eval(), ONE)
    assert [call.layer for call in trace.norm_calls] == ["block.1", "bn"]
    assert not trace.complete
