"""Copies models: `copy.deepcopy`, sped up where that changes nothing."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TypeVar

from torch import nn

from bnlint.artifacts.user_code import described
from bnlint.errors import NotAnalysedError
from bnlint.tracing.interruption import pass_on
from bnlint.tracing.live import named_modules

_Module = TypeVar("_Module", bound=nn.Module)
_CONTAINERS = frozenset({dict, OrderedDict, set, list})


def copied(model: _Module, memo: dict[int, object]) -> _Module:
    """Copy a model as `copy.deepcopy` does.

    A module has a dozen containers, nearly all of them empty, and `copy.deepcopy` takes an empty one to pieces at the
    cost of a full one. New ones are put in its memo instead.

    Args:
        model: The model; it is not changed.
        memo: What stands for which object, by the identity of the object; it grows as that of `copy.deepcopy` does.

    Raises:
        NotAnalysedError: If it holds something that cannot be copied, such as a lock, or a weight of `weight_norm`.
    """
    for _, module in named_modules(model):
        for value in vars(module).values():
            if type(value) in _CONTAINERS and not value and id(value) not in memo:
                memo[id(value)] = type(value)()
    try:
        return copy.deepcopy(model, memo)
    except BaseException as error:  # the classes of what it holds may raise anything
        pass_on(error)
        cause = f"The model cannot be copied, as `copy.deepcopy` does it: {described(error)}."
        raise NotAnalysedError(cause, "Take out what cannot be copied, and fold then.") from error
