"""Modules any part of which raises anything: one sentence, and what can be told of the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

import bnlint
from bnlint.errors import BnlintError, NotAnalysedError
from bnlint.facts.unknown import UNKNOWN
from tests.tracing.broken import EXCEPTIONS, PARTS, PLACES, MuteOwn, Own, Refuses, model_with
from tests.tracing.proof import block, images

LOOKS: dict[str, Callable[[nn.Module], object]] = {
    "check": lambda model: bnlint.check(model, inputs=(images(),)),
    "guess": bnlint.check,
    "run": lambda model: bnlint.check(model, inputs=(images(),), run=True, data=[images()] * 2, padding="3"),
    "inspect": lambda model: bnlint.inspect(model, inputs=(images(),)),
    "trace": lambda model: bnlint.trace(model, (images(),)),
    "plan": lambda model: bnlint.plan(model, (images(),)),
    "fold": lambda model: bnlint.fold(model, (images(),), force=True),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    place=st.sampled_from(PLACES),
    part=st.sampled_from(PARTS),
    error=st.sampled_from(EXCEPTIONS),
    as_property=st.booleans(),
    look=st.sampled_from(sorted(LOOKS)),
)
@example("root", "__getattribute__", OSError, False, "inspect")
@example("conv", "__module__", RuntimeError, True, "fold")
@example("norm", "bias", MuteOwn, True, "check")
@example("container", "__class__", Own, True, "trace")
def test_a_result_or_one_sentence(
    place: str, part: str, error: type[BaseException], as_property: bool, look: str
) -> None:
    model = model_with(place, part, error, as_property)
    said = ""
    try:
        LOOKS[look](model)
    except BnlintError as refused:
        said = str(refused)
    assert "\n" not in said
    assert said.startswith(("The ", "`")) or not said


TREE_METHODS = (
    "named_modules", "modules", "children", "named_children", "parameters", "named_parameters", "buffers",
    "named_buffers", "get_submodule", "state_dict", "extra_repr", "__repr__", "__dir__", "__eq__", "__hash__",
    "__len__", "__bool__", "__iter__", "__call__", "__setattr__", "__delattr__", "__deepcopy__", "__reduce__",
    "__reduce_ex__", "train", "eval", "apply", "_get_name",
)  # fmt: skip


@pytest.mark.parametrize("place", ["root", "container", "norm"])
@pytest.mark.parametrize("part", TREE_METHODS)
def test_what_lists_or_describes_a_module_is_not_needed(part: str, place: str) -> None:
    model = model_with(place, part, MuteOwn, as_property=False)
    vars(vars(model)["_modules"]["2"][1])["training"] = True
    report = bnlint.check(model, inputs=(images(),), select="BN102")
    assert "2.1" in {layer for finding in report.findings for layer in finding.layers}
    assert report.coverage.layers == 2


UNREADABLE = [
    ("norm", "bias", "0.1"),
    ("norm", "running_mean", "0.1"),
    ("norm", "eps", "0.1"),
    ("norm", "momentum", "0.1"),
    ("norm", "training", "0.1"),
    ("norm", "__class__", "0.1"),
    ("norm", "__getattribute__", "0.1"),
    ("norm", "_parameters", "0.1"),
    ("container", "__class__", "0"),
    ("root", "__getattribute__", ""),
]


@pytest.mark.parametrize("error", [RuntimeError, Own, MuteOwn, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("place", "part", "path"), UNREADABLE)
def test_a_layer_that_cannot_be_read_is_named_and_the_others_are_checked(
    place: str, part: str, path: str, error: type[BaseException]
) -> None:
    model = model_with(place, part, error, as_property=part != "__getattribute__")
    model_of_the_rest = object.__getattribute__(model, "__dict__")["_modules"]["2"]
    model_of_the_rest[1].running_var[0] = float("nan")
    report = bnlint.check(model, inputs=(images(),))
    (note,) = [note for note in report.coverage.notes if "cannot be read" in note]
    assert note.startswith(f"`{path}`" if path else "The model itself")
    assert error.__name__ in note
    assert [finding.layers for finding in report.findings if finding.code == "BN502"] == [("2.1",)]
    facts = {facts.layer: facts for facts in bnlint.inspect(model, inputs=(images(),)).norms}
    if path == "0.1":
        assert facts["0.1"].kind == "batch_norm"
        assert {facts["0.1"].eps, facts["0.1"].affine, facts["0.1"].has_running_statistics} == {UNKNOWN}
    assert facts["2.1"].affine is True


@pytest.mark.parametrize("error", [RuntimeError, Own, MuteOwn, KeyboardInterrupt])
def test_a_layer_that_cannot_be_read_is_not_folded(error: type[BaseException]) -> None:
    model = model_with("norm", "num_features", error, as_property=True)
    folded = bnlint.fold(model, (images(),), force=True)
    assert [fold.layer for fold in folded.folds] == ["2.1"]
    assert [kept.layer for kept in folded.kept] == ["0.1"]
    assert folded.verified


class Fails(nn.Module):
    """Raises in its forward, after a whole block."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.first, self.rest, self.error = block(), block(), error

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        raise self.error("no more")


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: error.__name__)
def test_a_forward_that_raises_is_a_reason(error: type[BaseException]) -> None:
    trace = bnlint.trace(Fails(error).eval(), (images(),))
    assert f"the forward raised {error.__name__} at" in trace.reason
    assert {call.layer for call in trace.norm_calls} == {"first.1", "rest.1"}
    report = bnlint.check(Fails(error), inputs=(images(),), run=True, data=[images()] * 2)
    assert any(error.__name__ in sentence for sentence in report.unanalysed)
    assert "BN101" in {finding.code for finding in report.findings}
    with pytest.raises(NotAnalysedError, match="could not be run"):
        bnlint.fold(Fails(error).eval(), (images(),))


def test_what_holds_no_tensors_among_its_buffers_is_looked_at() -> None:
    model = nn.Sequential(block(), block()).eval()
    model[0]._buffers["steps"] = 7  # type: ignore[assignment]
    model[0][1]._buffers["name"] = "norm"  # type: ignore[assignment]
    model[1][1].train()
    for look in ("check", "run", "inspect", "trace"):
        LOOKS[look](model)
    report = bnlint.check(model, inputs=(images(),), run=True)
    assert ("1.1",) in [finding.layers for finding in report.findings if finding.code == "BN102"]
    kept = {kept.layer: kept.reason for kept in bnlint.plan(model, (images(),)).kept}
    assert kept["0.1"] == "0.1.name is no tensor"


def test_an_eps_that_no_float_holds_is_unknown_and_its_layer_is_kept() -> None:
    model = nn.Sequential(block(), block()).eval()
    model[0][1].eps = 10**400
    report = bnlint.check(model, inputs=(images(),), run=True, data=[images()] * 2)
    assert report.coverage.layers == 2
    kept = {kept.layer: kept.reason for kept in bnlint.plan(model, (images(),)).kept}
    assert kept == {"0.1": "its eps is no number that a float can hold"}


class Raising(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        raise Own("not today")


def test_a_parametrisation_that_raises_costs_one_layer() -> None:
    model = nn.Sequential(block(), block())
    parametrize.register_parametrization(model[0][1], "weight", nn.Identity())
    model[0][1].parametrizations["weight"][0] = Raising()
    report = bnlint.check(model, inputs=(images(),))
    assert any("`0.1` cannot be read (Own: not today)" in note for note in report.coverage.notes)
    assert [finding.layers for finding in report.findings if finding.code == "BN101"] == [("1.1",)]
    with pytest.raises(NotAnalysedError, match="Own at"):
        bnlint.fold(model.eval(), (images(),))


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_a_tensor_that_no_function_may_ask_anything_is_one_sentence(look: str) -> None:
    looks: dict[str, Callable[[nn.Module, Any], object]] = {
        "check": lambda model, x: bnlint.check(model, inputs=(x,)),
        "run": lambda model, x: bnlint.check(model, inputs=(x,), run=True, data=[x]),
        "inspect": lambda model, x: bnlint.inspect(model, inputs=x),
        "trace": bnlint.trace,
        "plan": bnlint.plan,
        "fold": bnlint.fold,
    }
    with pytest.raises(BnlintError) as refused:
        looks.get(look, looks["check"])(block().eval(), images().as_subclass(Refuses))
    assert "Own" in str(refused.value)
    model = nn.Sequential(block(), block()).eval()
    model[0][1]._parameters["weight"] = torch.ones(3).as_subclass(Refuses)  # type: ignore[assignment]
    model[1][1].train()
    if look in ("check", "run", "inspect", "guess"):
        LOOKS[look](model)
        report = bnlint.check(model, inputs=(images(),), run=look == "run")
        assert ("1.1",) in [finding.layers for finding in report.findings if finding.code == "BN102"]


class Interrupts(nn.Module):
    """Has the user press Ctrl-C, and may try to go on."""

    def __init__(self, swallows: bool) -> None:
        super().__init__()
        self.block, self.swallows = block(), swallows

    def forward(self, x: Tensor) -> Tensor:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            if not self.swallows:
                raise
            raise KeyboardInterrupt("another") from None
        return self.block(x)


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("look", sorted(LOOKS))
def test_ctrl_c_is_the_user_s(look: str, swallows: bool) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        LOOKS[look](Interrupts(swallows).eval())
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_like_of_ctrl_c_in_another_thread_is_the_model_s() -> None:
    reasons = []
    model = Fails(KeyboardInterrupt).eval()
    thread = threading.Thread(target=lambda: reasons.append(bnlint.trace(model, (images(),)).reason))
    thread.start()
    thread.join(60)
    assert "KeyboardInterrupt" in reasons[0]
