"""The table of operators against torch itself: names, order of arguments, defaults, and what decides the mode."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bnlint.norms.functions import arguments_of, norm_operator
from bnlint.norms.kinds import NormKind
from bnlint.norms.operators import CANONICAL, FUNCTIONS, KEEPING_STATISTICS, MODES, OPERATORS, NormOperator

ON_CPU = sorted(KEEPING_STATISTICS - {"cudnn_batch_norm", "miopen_batch_norm"})
FLAGS = {"training", "use_input_stats"}


def _names(overload: Any) -> tuple[str, ...]:
    return tuple(CANONICAL.get(argument.name, argument.name) for argument in overload._schema.arguments)


@pytest.mark.parametrize("name", OPERATORS)
def test_arguments_are_those_of_the_schema(name: str) -> None:
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        pytest.skip("this torch has no such operator")
    assert _names(packet.default)[: len(OPERATORS[name].arguments)] == OPERATORS[name].arguments


def test_every_operator_of_torch_that_takes_running_statistics_is_there() -> None:
    found = set()
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, operator = name.partition("::")
        if namespace != "aten" or "." in operator or "backward" in operator:
            continue
        schema = getattr(torch.ops.aten, operator).default._schema
        made = [argument.name for argument in schema.arguments]
        if {"running_mean", "weight", "bias"} <= set(made):
            found.add(operator)
    assert found <= KEEPING_STATISTICS
    assert len(found) >= 10


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_those_of_the_function(name: str) -> None:
    parameters = inspect.signature(getattr(F, name)).parameters
    assert tuple(parameters)[: len(FUNCTIONS[name].arguments)] == FUNCTIONS[name].arguments
    assert {key: parameters[key].default for key in FUNCTIONS[name].optional} == dict(FUNCTIONS[name].optional)


def test_every_mode_is_the_argument_of_some_operator() -> None:
    assert {operator.mode for operator in OPERATORS.values() if isinstance(operator.mode, str)} == set(MODES)


def _call(operator: NormOperator, batch: Tensor, flag: bool) -> Tensor:
    """What an operator makes of a batch, by its positional arguments."""
    values = {
        "input": batch, "weight": torch.ones(3), "bias": torch.zeros(3), "running_mean": torch.zeros(3),
        "running_var": torch.ones(3), "momentum": 0.1, "eps": 1e-5, **dict.fromkeys(FLAGS, flag),
    }  # fmt: skip
    given = [values[name] for name in operator.arguments]
    rest = [False] if operator.name in ("batch_norm", "instance_norm", "_batch_norm_impl_index") else []
    result = getattr(torch.ops.aten, operator.name)(*given, *rest)
    return result if isinstance(result, Tensor) else result[0]


@pytest.mark.parametrize("flag", [True, False], ids=["trains", "infers"])
@pytest.mark.parametrize("name", ON_CPU)
def test_the_table_says_what_the_operator_does(name: str, flag: bool) -> None:
    operator = OPERATORS[name]
    batch = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    looked = not torch.allclose(_call(operator, batch, flag), batch, atol=1e-3)  # with 0 and 1 nothing would change
    arguments = {"running_mean": torch.zeros(3), **dict.fromkeys(FLAGS & set(operator.arguments), flag)}
    assert operator.uses_batch_statistics(arguments) is looked


def test_a_flag_that_is_computed_is_unknown() -> None:
    assert OPERATORS["batch_norm"].uses_batch_statistics({"running_mean": torch.zeros(3), "training": object()}) is None
    assert OPERATORS["batch_norm"].uses_batch_statistics({"training": object()}) is True  # without statistics


def _name(target: object) -> str:
    """A name without an address, which would be another in each process."""
    return str(getattr(target, "__name__", target))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (F.batch_norm, "batch_norm"),
        (torch.batch_norm, "batch_norm"),
        (torch.native_group_norm, "native_group_norm"),
        (torch.ops.aten.batch_norm, "batch_norm"),
        (torch.ops.aten._native_batch_norm_legit.no_stats, "_native_batch_norm_legit"),
        (torch.ops.aten.native_layer_norm.default, "native_layer_norm"),
        (F.local_response_norm, "local_response_norm"),
    ],
    ids=_name,
)
def test_targets_that_normalise(target: object, name: str) -> None:
    operator = norm_operator(target)
    assert operator is not None
    assert operator.name == name


def batch_norm(*_: object) -> None:
    """A function of somebody's own."""


@pytest.mark.parametrize(
    "target", [batch_norm, "batch_norm", torch.relu, torch.ops.aten.relu.default, [], None], ids=_name
)
def test_targets_that_do_not(target: object) -> None:
    assert norm_operator(target) is None


def test_the_two_orders_of_arguments_are_told_apart() -> None:
    for target, place in ((F.batch_norm, 1), (torch.batch_norm, 3)):
        operator = norm_operator(target)
        assert operator is not None
        assert arguments_of(operator, target, tuple(range(5)), {})["running_mean"] == place


def test_an_overload_without_statistics_has_none() -> None:
    target = torch.ops.aten._native_batch_norm_legit.no_stats
    operator = norm_operator(target)
    assert operator is not None
    arguments = arguments_of(operator, target, (None, None, None, False, 0.1, 1e-3), {})
    assert "running_mean" not in arguments
    assert (arguments["training"], arguments["eps"]) == (False, 1e-3)
    assert operator.uses_batch_statistics(arguments) is True


def test_arguments_have_one_name() -> None:
    target = torch.ops.aten.cudnn_batch_norm.default
    operator = norm_operator(target)
    assert operator is not None
    arguments = arguments_of(operator, target, (), {"exponential_average_factor": 0.3, "epsilon": 1e-4})
    assert arguments == {"momentum": 0.3, "eps": 1e-4}
    assert operator.kind is NormKind.BATCH
