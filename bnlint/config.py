"""The configuration file: `bnlint.yaml`, or `[tool.bnlint]` in `pyproject.toml`.

`python -m bnlint.config > docs/config-schema.json` writes its JSON Schema.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from bnlint.checking.option import Form, Option, Options
from bnlint.checking.options import CheckOptions
from bnlint.errors import UsageError
from bnlint.opening import is_link_to_nothing, is_there, is_to_be_read, refusal
from bnlint.ruleset.limits import read_text
from bnlint.ruleset.settings import Layer, Settings, Word
from bnlint.ruleset.source import Source
from bnlint.ruleset.yaml_source import read_yaml

FILES: Final = ("bnlint.yaml", "bnlint.yml")
PYPROJECT: Final = "pyproject.toml"
TABLE: Final = ("tool", "bnlint")

_FORMS: Final[Mapping[Form, Any]] = {
    "count": Annotated[int, Meta(ge=1)] | None,
    "flag": bool | None,
    "seconds": Annotated[float, Meta(gt=0)] | None,
    "text": Word | None,
    "words": tuple[Word, ...],
    "texts": tuple[Word, ...],
    "folders": tuple[Word, ...],
}
"""What the configuration file holds for the forms of options that may have no words of their own."""


_LAYERED: Final = frozenset(Settings.__struct_fields__)
_MEANING: Final = "What is worth keeping in a repository; what belongs to one model, such as its inputs, is not."


def config_type(record: type[Options] = CheckOptions) -> type[Any]:
    """What a configuration file may hold, as a type that msgspec knows.

    Args:
        record: The record of options.

    Returns:
        `Settings` with the other options that the file may hold.
    """
    own = [one for one in record.entries.values() if one.in_file and one.name not in _LAYERED]
    return msgspec.defstruct(
        "Config",
        [(one.name, _file_type(one), one.default) for one in own],
        bases=(Settings,),
        module=__name__,
        namespace={"__doc__": _MEANING},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _file_type(one: Option) -> Any:
    choices = one.choices
    return Literal[choices] | None if choices else _FORMS[one.form or "text"]


Config: Final[type[Any]] = config_type()


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file that has been read.

    Attributes:
        name: The file, relative to the current folder.
        options: What it sets, apart from its settings; folders of rules are relative to the current folder.
        layer: Its settings with their source.
    """

    name: str
    options: CheckOptions
    layer: Layer


def find_config(start: Path) -> Path | None:
    """The configuration file that is nearest to a folder, upwards.

    The search ends with the first file found, with the folder that holds `.git`, or at the root. In one folder
    `bnlint.yaml` comes before `pyproject.toml`, which counts only if it has a table `[tool.bnlint]`.

    Args:
        start: The folder to begin in, absolute.

    Raises:
        UsageError: If a `pyproject.toml` that mentions bnlint cannot be read.
    """
    for folder in (start, *start.parents):
        for name in FILES:
            if _is_listed(folder / name):
                return folder / name
        project = folder / PYPROJECT
        if _is_listed(project) and _table(project) is not None:
            return project
        if is_there(folder / ".git"):
            return None
    return None


def read_config(file: str | os.PathLike[str]) -> ConfigFile:
    """Read a configuration file.

    Args:
        file: A YAML file, or a TOML file with a table `[tool.bnlint]`.

    Raises:
        UsageError: If there is no such file, or anything is wrong with it; the cause names the line and the nearest
            right name.
    """
    path = Path(file)
    source: Source | None
    if path.suffix == ".toml":
        source = _table(path)
        if source is None:
            raise UsageError(f"{_shown(path)} has no table [{'.'.join(TABLE)}].")
    else:
        source = read_yaml(path, _shown(path), UsageError)
    config = source.convert(Config)
    for index, folder in enumerate(config.rules):
        if why := refusal(path.parent / folder):
            raise source.error(("rules", index), f'"{folder}" cannot be a folder: {why}.')
    given = {name: getattr(config, name) for name in config.__struct_fields__ if name not in _LAYERED}
    options = CheckOptions(**given | {"rules": tuple(_shown(path.parent / folder) for folder in given["rules"])})
    return ConfigFile(source.name, options, Layer(config, source))


def _table(file: Path) -> Source | None:
    """The table of bnlint; a file that does not mention bnlint is not even parsed."""
    text = read_text(file, _shown(file), UsageError)
    if TABLE[-1] not in text:
        return None
    from bnlint.ruleset.toml_source import read_toml_table

    return read_toml_table(text, _shown(file), TABLE)


def _shown(path: Path) -> str:
    """A path relative to the current folder: reports hold no absolute ones."""
    try:
        return Path(os.path.relpath(path)).as_posix()
    except ValueError:  # no file can have such a name, or it is on another drive
        return path.as_posix()


def _is_listed(file: Path) -> bool:
    """Whether a file that nobody named is to be read: also one that cannot be, whose settings must not be lost."""
    return is_to_be_read(file) or is_link_to_nothing(file)


def schema_text(record: type[Options] = CheckOptions) -> str:
    """The JSON Schema (Draft 2020-12) of configuration files, as the text of `docs/config-schema.json`.

    Args:
        record: The record of options, from which the descriptions are.
    """
    import json  # only the schema needs it, and start-up time counts

    schema: dict[str, Any] = msgspec.json.schema(config_type(record))
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # tuples become lists
    properties: dict[str, Any] = plain["$defs"]["Config"]["properties"]
    for name, described in properties.items():
        properties[name] = {"description": record.entries[name].doc, **described}
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bnlint configuration file"}
    return json.dumps(heading | plain, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
