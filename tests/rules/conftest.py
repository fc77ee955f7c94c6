from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples may write files."""
    monkeypatch.chdir(tmp_path)
