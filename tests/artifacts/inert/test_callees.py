"""What a pickle calls: a method of an object in it is pickled by `getattr`, which is no call to warn of."""

from __future__ import annotations

import io
import pickle

import pytest

from bnlint.artifacts.inert.callees import is_bound_method
from bnlint.artifacts.inert.machine import read_pickle
from bnlint.artifacts.inert.values import Global, Stub

GETATTR = Global("builtins", "getattr")
OBJECT = Stub(Global("nets", "Net"), ())


class Net:
    def forward(self) -> None:
        """A method."""


def test_a_bound_method_is_no_call() -> None:
    pickled = read_pickle(io.BytesIO(pickle.dumps(Net().forward)))
    assert "getattr" not in str(list(pickled.called))


@pytest.mark.parametrize(
    ("maker", "arguments", "is_one"),
    [
        (GETATTR, (OBJECT, "forward"), True),
        (Global("__builtin__", "getattr"), (OBJECT, "_call_impl"), True),
        (GETATTR, (OBJECT, "__class__"), False),
        (GETATTR, (Global("os", "path"), "join"), False),
        (GETATTR, (Stub(GETATTR, (OBJECT, "forward")), "__globals__"), False),
        (GETATTR, (Stub(GETATTR, (OBJECT, "forward")), "im_func"), False),
        (GETATTR, (OBJECT, "forward", None), False),
        (GETATTR, (OBJECT, 3), False),
        (GETATTR, [OBJECT, "forward"], False),
        (Global("os", "system"), (OBJECT, "forward"), False),
    ],
)
def test_what_is_a_bound_method(maker: object, arguments: object, is_one: bool) -> None:
    assert is_bound_method(maker, arguments) is is_one
