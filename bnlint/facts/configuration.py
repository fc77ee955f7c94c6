"""What a layer was built with: the part that is the same for live layers and for layers in files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TypedDict

from bnlint.facts.unknown import Maybe

EPS_NAMES: Final = ("eps", "epsilon", "variance_epsilon")
"""What classes call the constant that is added to the variance: torch and most others, Keras ports, T5 and Llama."""


class Configuration(TypedDict):
    """The fields of `NormFacts` that the class and the attributes of a layer say."""

    class_name: str
    spatial_dims: Maybe[int | None]
    synchronised: bool
    parameters_frozen: bool | None
    momentum: Maybe[float | None]
    eps: Maybe[float | None]


def number(value: object) -> float | None:
    """A value if it is a number that a float can hold, else `None`."""
    too_large = isinstance(value, int) and abs(value) > sys.float_info.max
    return value if isinstance(value, (int, float)) and not too_large else None


def eps_among(attribute: Callable[[str], object]) -> float | None:
    """The constant that a layer adds to the variance.

    Args:
        attribute: Gives an attribute by its name, `None` where there is none.

    Returns:
        `None` where no attribute of the usual names holds a number.
    """
    eps = number(next((value for name in EPS_NAMES if (value := attribute(name)) is not None), None))
    return None if eps is None else float(eps)


def dims_of_name(class_name: str) -> int | None:
    """The 1, 2 or 3 of BatchNorm1d, 2d, 3d and their relatives; `None` in any other name."""
    return next((dims for dims in (1, 2, 3) if class_name.endswith(f"Norm{dims}d")), None)
