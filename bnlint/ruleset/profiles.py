"""Profiles: settings under a name, as data in `rules/profiles.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated

from msgspec import Meta

from bnlint.errors import UsageError
from bnlint.ruleset.load import PROFILES, built_in_folder
from bnlint.ruleset.nearest import alternatives, did_you_mean
from bnlint.ruleset.settings import Layer, Settings, Word
from bnlint.ruleset.source import Source
from bnlint.ruleset.yaml_source import read_yaml


class Profile(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings for an occasion."""

    summary: Annotated[Word, Meta(description="One sentence: what the profile is for.")]


def load_profiles() -> Mapping[str, Profile]:
    """The profiles of bnlint by name, in the order of the file."""
    return _read()[1]


def profile_layer(name: str) -> Layer:
    """The settings of a profile.

    Raises:
        UsageError: If there is no such profile; it offers the nearest right name.
    """
    source, profiles = _read()
    if name not in profiles:
        hint = did_you_mean(name, profiles) or f"there are {alternatives(profiles, 'and')}."
        raise UsageError(f'There is no profile "{name}";', hint)
    return Layer(profiles[name], source)


@cache
def _read() -> tuple[Source, dict[str, Profile]]:
    source = read_yaml(built_in_folder() / PROFILES, f"rules/{PROFILES}")
    return source, source.convert(dict[str, Profile])
