"""The table of packages, as data."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml


class WeightFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of weights in a wheel, and what bnlint should say of it; the fields stand in `packages.yaml`."""

    path: str
    layers: dict[str, int] = {}
    findings: tuple[str, ...] = ()
    refused: str = ""
    remark: str = ""


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wheel with trained weights."""

    name: str
    version: str
    licence: str
    sha256: str
    files: tuple[WeightFile, ...]
    large: bool = False

    @property
    def requirement(self) -> str:
        """The line that lets pip take this wheel and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def packages() -> tuple[Package, ...]:
    """All packages of the table."""
    text = (Path(__file__).parent / "packages.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), tuple[Package, ...])
