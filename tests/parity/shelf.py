"""Makes each model, and writes each form of it, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bnlint
from bnlint.facts.records import FactTable
from tests.parity.forms import Form
from tests.parity.subjects import SUBJECTS, Subject

DECLARED: Final[dict[str, Any]] = {
    "batch_size": 16, "dataset_size": 1000, "devices": 2, "accumulate": 2, "deploy_dtype": "float16", "run": True,
    "padding": "3",
}  # fmt: skip
"""Declared for every form alike, so that the facts that take it can be known."""


def look(target: Any, subject: Subject, **options: Any) -> FactTable:
    """All facts of a target."""
    return bnlint.inspect(target, inputs=subject.image, data=[subject.data], **DECLARED, **options)


class Shelf:
    """Keeps what was made.

    Args:
        folder: Where files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._subjects: dict[str, Subject] = {}
        self._live: dict[str, FactTable] = {}

    def subject(self, name: str) -> Subject:
        """A model, by its name in `SUBJECTS`."""
        if name not in self._subjects:
            self._subjects[name] = SUBJECTS[name]()
        return self._subjects[name]

    def live(self, name: str) -> FactTable:
        """What is known of the live model."""
        if name not in self._live:
            subject = self.subject(name)
            self._live[name] = look(subject.model, subject)
        return self._live[name]

    def written(self, form: Form, subject: Subject) -> Path:
        """A file, or a folder, of the model in that form."""
        folder = self._folder / str(sum(1 for _ in self._folder.iterdir()))
        folder.mkdir()
        return form.write(subject.model, subject.image, folder)
