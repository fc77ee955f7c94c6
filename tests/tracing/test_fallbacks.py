"""What is done where a full record cannot be had, in order, each with its reason; what was not seen is unknown."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.records import NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.inputs import as_inputs
from bnlint.tracing.road import trace_module
from bnlint.tracing.trace import How
from tests.models import ConvNet
from tests.tracing.proof import Call, block, images, prove

ONE = (images(),)


def facts_by_layer(model: nn.Module, inputs: Any = ONE) -> dict[str, NormFacts]:
    return {facts.layer: facts for facts in bnlint.inspect(model.eval(), inputs=inputs).norms}


class ReadsValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.bn = block(), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum().item() > 1e9:
            return x
        kept = x[x.flatten(1).sum(1) < 1e9]  # a mask: the number of kept images depends on values
        return self.bn(self.block(kept))


def test_values_are_run_on_a_copy_with_the_line_that_needs_them() -> None:
    trace = prove(ReadsValues(), ONE, [Call("block.1"), Call("bn")], how=How.RECORDED_WITH_VALUES)
    line = ReadsValues.forward.__code__.co_firstlineno + 1
    assert f"{__file__.rpartition('/')[2]}:{line}" in trace.reason
    assert "values" in trace.reason
    facts = facts_by_layer(ReadsValues())
    assert facts["bn"].fed_by == {"activation"}
    assert facts["bn"].values_per_sample == 64


def test_values_are_not_run_where_that_is_not_wanted() -> None:
    trace = trace_module(ReadsValues().eval(), as_inputs(ONE), values=False)
    assert trace.how is How.PARTIAL
    assert "on a copy" not in trace.reason


def test_a_model_without_weights_is_run_on_made_up_values() -> None:
    with torch.device("meta"):
        model = ReadsValues()
    trace = bnlint.trace(model.eval(), ("2x3x8x8",))
    assert trace.how is How.RECORDED_WITH_VALUES
    assert [call.layer for call in trace.norm_calls] == ["block.1", "bn"]


class NoGuess(nn.Module):
    """Its first layer is none that an input can be inferred from, and it takes two inputs of different shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.bn = nn.BatchNorm2d(3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        mixed = torch.einsum("nchw,cd->ndhw", x, self.weight * scale.reshape(3, 1))
        return self.act(self.bn(mixed))


def test_without_an_input_the_graph_is_symbolic_and_shapes_are_unknown() -> None:
    trace = bnlint.trace(NoGuess().eval())
    trace.graph.lint()
    assert trace.how is How.SYMBOLIC
    assert trace.reason
    assert trace.inputs == ""
    assert [call.layer for call in trace.norm_calls] == ["bn"]
    facts = facts_by_layer(NoGuess(), None)["bn"]
    assert facts.fed_by == {"matmul"}
    assert facts.feeds == {"activation"}
    assert facts.calls == 1
    for name in ("input_shape", "values_per_sample", "values_per_channel", "channel_axis", "sequence_evidence"):
        assert getattr(facts, name) is UNKNOWN, name


class NormThenActivation(nn.BatchNorm2d):
    """As timm's BatchNormAct2d: what it feeds depends on code inside it that symbolic tracing does not enter."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class NoGuessWithActivatedNorm(NoGuess):
    def __init__(self) -> None:
        super().__init__()
        self.bn = NormThenActivation(3)


def test_an_opaque_norm_has_unknown_neighbours_downstream() -> None:
    facts = facts_by_layer(NoGuessWithActivatedNorm(), None)["bn"]
    assert facts.feeds is UNKNOWN
    given = bnlint.inspect(NoGuessWithActivatedNorm().eval(), inputs=("2x3x8x8", "3")).norms[0]
    assert given.feeds == {"activation"}


class Refuses(nn.Module):
    """Cannot be traced in any way, though its layer can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Any) -> Any:
        raise OSError("not today")


class Whole(nn.Module):
    """Five traceable layers in three parts; the part in the middle refuses and hides one more."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(), block())
        self.middle = Refuses()
        self.tail = nn.ModuleDict({"a": block(), "b": nn.Sequential(block(), block())})

    def forward(self, x: Tensor) -> Tensor:
        return self.tail["b"](self.tail["a"](self.middle(self.stem(x))))


def test_the_largest_parts_are_traced_and_counted() -> None:
    trace = bnlint.trace(Whole().eval(), ONE)
    trace.graph.lint()
    assert trace.how is How.PARTIAL
    assert not trace.complete
    assert "5 of 6 normalisation layers were seen" in trace.reason
    assert "OSError" in trace.reason
    assert "test_fallbacks.py:" in trace.reason
    assert [call.layer for call in trace.norm_calls] == ["stem.0.1", "stem.1.1", "tail.a.1", "tail.b.0.1", "tail.b.1.1"]


def test_the_neighbours_of_a_part_are_unknown_and_a_layer_not_seen_is_not_called_never_called() -> None:
    facts = facts_by_layer(Whole())
    assert facts["stem.0.1"].fed_by == {"convolution"}
    assert facts["tail.b.0.1"].feeds == {"activation"}
    hidden = facts["middle.bn"]
    for name in ("calls", "fed_by", "feeds", "sequence_evidence", "values_per_sample", "input_shape"):
        assert getattr(hidden, name) is UNKNOWN, name
    assert hidden.has_running_statistics is True


class EndsInRefusal(nn.Module):
    """`bn` is the last thing before the refusal, so what it feeds is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.rest = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), Refuses()

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.bn(self.conv(x)))


def test_what_lies_beyond_a_failure_is_unknown() -> None:
    facts = facts_by_layer(EndsInRefusal())["bn"]
    assert facts.fed_by == {"convolution"}
    assert facts.feeds is UNKNOWN


def test_nothing_leaves_the_module_tree() -> None:
    trace = bnlint.trace(Refuses().eval(), ONE)
    assert trace.how is How.NONE
    assert trace.norm_calls == ()
    assert "OSError" in trace.reason
    facts = facts_by_layer(Refuses())["bn"]
    assert facts.calls is UNKNOWN
    assert facts.statistics_at_initial_values is True
    report = bnlint.check(Refuses().eval(), inputs=ONE)
    assert "BN501" in [finding.code for finding in report.findings]
    assert "BN201" in [item.code for item in report.not_run]
    assert "BN201" not in report.passed
    assert report.unanalysed


def test_a_full_record_has_no_reason() -> None:
    trace = bnlint.trace(ConvNet().eval(), ONE)
    assert (trace.how, trace.reason, trace.complete) == (How.RECORDED, "", True)


class AuxiliaryHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = block(), block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return x + self.head(x) if self.training else x


def test_a_layer_that_the_run_did_not_call_is_known_not_to_be_called() -> None:
    facts = facts_by_layer(AuxiliaryHead())
    assert facts["block.1"].calls == 1
    assert facts["head.1"].calls == 0
    assert facts["head.1"].values_per_sample is None


@pytest.mark.parametrize("inputs", [("2x5x8x8",), ("2x3",), ("1x3x8x8", "1x3x8x8")])
def test_an_input_that_the_model_rejects_is_named(inputs: tuple[str, ...]) -> None:
    report = bnlint.check(ConvNet().eval(), inputs=inputs)
    assert report.coverage.graph in ("symbolic", "partial", "none")
    assert report.coverage.reason
