"""Archives of `torch.package`, read as data: `PackageImporter` runs the code in them, and is not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bnlint.artifacts.inert.contents import Contents
from bnlint.artifacts.inert.sandbox import ask_child
from bnlint.artifacts.saved import Saved, of_contents


def read_package_archive(path: Path, name: str, key: str = "") -> Saved:
    """Read a file of `torch.package.PackageExporter`; nothing in it is run.

    Args:
        path: The file.
        name: What the user called it.
        key: Which of several models or sets of weights; with several pickles it begins with the name of one, such as
            `model/model.pkl`.

    Returns:
        What was chosen.

    Raises:
        NotAnalysedError: The file is damaged, holds neither a model nor weights, or holds several and none was chosen.
        UsageError: What was chosen is not there.
    """
    found = of_contents(ask_child("package", path, name, Contents), path, name, key)
    return replace(found, form="package") if found.modules else found
