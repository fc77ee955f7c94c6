"""The configuration file: `bnlint.yaml`, or `[tool.bnlint]` in `pyproject.toml`.

`python -m bnlint.config > docs/config-schema.json` writes its JSON Schema.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.opening import is_link_to_nothing, is_there, is_to_be_read, refusal
from bnlint.ruleset.limits import read_text
from bnlint.ruleset.settings import Layer, Settings, Word
from bnlint.ruleset.source import Source
from bnlint.ruleset.yaml_source import read_yaml

FILES: Final = ("bnlint.yaml", "bnlint.yml")
PYPROJECT: Final = "pyproject.toml"
TABLE: Final = ("tool", "bnlint")

Count = Annotated[int, Meta(ge=1)]


class Config(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is worth keeping in a repository; what belongs to one model, such as its inputs, is not."""

    profile: Annotated[Word | None, Meta(description="Settings to start from, such as deploy or strict.")] = None
    rules: Annotated[tuple[Word, ...], Meta(description="Folders with further rule files, relative to this file.")] = ()
    batch_size: Annotated[Count | None, Meta(description="The training batch on each device, in samples.")] = None
    devices: Annotated[Count | None, Meta(description="Number of devices that train together.")] = None
    accumulate: Annotated[
        Count | None, Meta(description="Number of batches whose gradients are added up for one step.")
    ] = None
    dataset_size: Annotated[Count | None, Meta(description="Samples in one epoch, over all devices.")] = None
    drop_last: Annotated[bool | None, Meta(description="Whether a short last batch is left out.")] = None
    deploy_dtype: Annotated[Literal["float16", "bfloat16"] | None, Meta(description="The data type of deployment.")] = (
        None
    )

    @property
    def setup(self) -> TrainingSetup:
        """How the model is trained."""
        return TrainingSetup(**{field.name: getattr(self, field.name) for field in fields(TrainingSetup)})


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file that has been read.

    Attributes:
        name: The file, relative to the current folder.
        config: What it holds.
        layer: Its settings with their source.
        folders: The folders of rules, relative to the current folder.
    """

    name: str
    config: Config
    layer: Layer
    folders: tuple[Path, ...]


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
    folders = tuple(Path(_shown(path.parent / folder)) for folder in config.rules)
    return ConfigFile(source.name, config, Layer(config, source), folders)


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


def schema_text() -> str:
    """The JSON Schema (Draft 2020-12) of configuration files, as the text of `docs/config-schema.json`."""
    import json  # only the schema needs it, and start-up time counts

    schema: dict[str, Any] = msgspec.json.schema(Config)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # tuples become lists
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bnlint configuration file"}
    return json.dumps(heading | plain, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
