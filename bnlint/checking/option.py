"""What is said of an option: its documentation, and how a person gives it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self, dataclass_transform

Section = Literal["reading", "training", "running", "judging", "settings", "calling"]
"""What an option is about: how the target is read and traced, how it is trained and deployed, what may be run, which
rules count and how much, where settings come from, or the call in Python alone."""

Form = Literal[
    "count", "seconds", "flag", "choice", "text", "key", "texts", "words", "folders", "yaml", "severities", "numbers"
]
"""How an option is written as text: on the command line, and in the configuration file."""


class Option(NamedTuple):
    """One option of a record.

    Attributes:
        section: What it is about.
        doc: What it means, for Python, the configuration file and the documentation.
        default: Its value where it is not given.
        help: The same in the words of the command line, where these are others.
        form: How it is written; `None` where only Python has it.
        flag: Its name on the command line.
        metavar: What stands for its value in the help, where the form does not say that.
        choices: The words that it can be, where these are few.
        example: A value for the documentation.
        in_file: Whether the configuration file may hold it.
        one_target: Whether it belongs to one target, so that a check of several refuses it.
        name: Its name in the record.
        type: Its type, as source text.
    """

    section: Section
    doc: str
    default: Any
    help: str = ""
    form: Form | None = None
    flag: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    example: object = None
    in_file: bool = False
    one_target: bool = False
    name: str = ""
    type: str = ""


def option(section: Section, doc: str, *, default: Any, **about: Any) -> Any:
    """A field of a record of options.

    Args:
        section: What it is about.
        doc: What it means.
        default: Its value where it is not given; type checkers want to see it.
        **about: Other fields of `Option`; its name, its type and where they are the usual ones its flag come from the
            record.
    """
    return Option(section, doc, default, **about)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option,))
class Options:
    """A record of options, which are given by name and do not change.

    To a type checker it is a frozen dataclass. The methods of a real one are written and compiled at each start, which
    would take longer than all else that is done with options.

    Args:
        **given: Options by name; of one that takes several texts, one alone or any number of them.

    Raises:
        TypeError: There is no such option.
    """

    entries: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls) -> None:
        own: dict[str, Option] = {}
        for name, text in cls.__annotations__.items():
            said: Option = vars(cls)[name]
            flag = said.flag or f"--{name.replace('_', '-')}"
            own[name] = said._replace(name=name, type=text, flag=flag)
            setattr(cls, name, said.default)
        cls.entries = {**cls.entries, **own}

    def __init__(self, **given: Any) -> None:
        for name, value in given.items():
            if name not in self.entries:
                raise TypeError(f"{type(self).__name__} has no option {name!r}")
            vars(self)[name] = several(value) if self.entries[name].default == () else value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the option {name!r} cannot be changed")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def replaced(self, **changes: Any) -> Self:
        """A record with other values for some options."""
        return type(self)(**vars(self) | changes)


def several(names: str | os.PathLike[str] | Iterable[Any]) -> tuple[Any, ...]:
    """One name, or many, as many."""
    return (names,) if isinstance(names, str) or hasattr(names, "__fspath__") else tuple(names)
