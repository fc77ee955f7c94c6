"""Copies models: `copy.deepcopy`, sped up where that changes nothing."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)
_CONTAINERS = frozenset({dict, OrderedDict, set, list})


def copied(model: _Module, memo: dict[int, object]) -> _Module:
    """Copy a model as `copy.deepcopy` does.

    A module has a dozen containers, nearly all of them empty, and `copy.deepcopy` takes an empty one to pieces at the
    cost of a full one. New ones are put in its memo instead.

    Args:
        model: The model; it is not changed.
        memo: What stands for which object, by the identity of the object; it grows as that of `copy.deepcopy` does.
    """
    for module in model.modules():
        for value in vars(module).values():
            if type(value) in _CONTAINERS and not value and id(value) not in memo:
                memo[id(value)] = type(value)()
    return copy.deepcopy(model, memo)
