"""What a module from a file must keep to be one that torch itself could have made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from torch import Tensor, nn

from bnlint.artifacts.known.names import NotKnownCodeError
from bnlint.artifacts.promised_attributes import promised_attributes
from bnlint.artifacts.user_code import described, user_code

_OF_EVERY_MODULE: Final = vars(nn.Module())


def check_state(kind: type[nn.Module], state: Mapping[str, Any]) -> None:
    """Check the attributes of one module.

    Args:
        kind: Its class.
        state: Its attributes by name, as they will be set.

    Raises:
        NotKnownCodeError: It has hooks, or something in place of a method, or a table holds what does not belong there.
    """
    if "training" not in state:
        raise NotKnownCodeError(f"a `{kind.__name__}`", "which has no `training`")
    for name, usual in _OF_EVERY_MODULE.items():
        given = state.get(name, usual)
        expected = next((table for table in (dict, set, bool) if isinstance(usual, table)), object)
        if not isinstance(given, expected):
            raise NotKnownCodeError(f"a `{kind.__name__}`", f"whose `{name}` is a `{type(given).__name__}`")
        if "_hooks" in name and given:
            raise NotKnownCodeError(f"a hook (`{name}` of a `{kind.__name__}`)")
    for table, belongs in (("_parameters", nn.Parameter), ("_buffers", Tensor), ("_modules", nn.Module)):
        for name, value in state.get(table, {}).items():
            if not isinstance(name, str) or "." in name or not isinstance(value, (belongs, type(None))):
                raise NotKnownCodeError(f"a `{type(value).__name__}` among the `{table}` of a `{kind.__name__}`")
    for name, value in state.items():
        # `_compiled_call_impl` is None in the class, and called before `forward` where it is anything else.
        if callable(value) and (hasattr(nn.Module, name) or callable(inspect.getattr_static(kind, name, None))):
            raise NotKnownCodeError(f"a function in place of the method `{name}` of a `{kind.__name__}`")
        if callable(getattr(nn.Module, name, None)):
            raise NotKnownCodeError(
                f"a `{type(value).__name__}` in place of the method `{name}` of a `{kind.__name__}`"
            )


def check_configuration(made: nn.Module) -> None:
    """Check that a module has what the layers of `torch.nn` promise to have, after its `__setstate__` filled the rest.

    Args:
        made: The module, its attributes set.

    Raises:
        NotKnownCodeError: An attribute is missing, or of another type.
    """
    kind = type(made)
    promised = dict.fromkeys(_OF_EVERY_MODULE, Any) | promised_attributes(kind)
    for name, hint in promised.items():
        value = _attribute(made, name)
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            why = f"whose `{name}` is a `{type(value).__name__}`"
            raise NotKnownCodeError(f"a `{kind.__name__}`", why) from error
        except TypeError:
            continue  # torch annotates a few with what msgspec cannot check, such as two kinds of sequences


def _attribute(made: nn.Module, name: str) -> Any:
    try:
        with user_code():
            return getattr(made, name)
    except AttributeError as error:
        raise NotKnownCodeError(f"a `{type(made).__name__}`", f"which has no `{name}`") from error
    except (Exception, SystemExit) as error:  # a property of a class of an admitted package may raise anything
        why = f"whose `{name}` cannot be read ({described(error)})"
        raise NotKnownCodeError(f"a `{type(made).__name__}`", why) from error
