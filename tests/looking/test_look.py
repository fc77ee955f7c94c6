"""What is wanted of a look: a record that touches no file, and a function that does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup
from bnlint.looking.look import Wanted, check_data


def test_a_record_of_what_is_wanted_looks_for_no_file(tmp_path: Path) -> None:
    absent = tmp_path / "absent.pt"
    assert Wanted(TrainingSetup(), data=absent, data_batches=0).data == absent


def test_data_that_cannot_be_had_are_refused(tmp_path: Path) -> None:
    (tmp_path / "batches.pt").touch()
    check_data(None, None)
    check_data(tmp_path / "batches.pt", 1)
    check_data([object()], None)
    with pytest.raises(UsageError, match=r"There is no file .*batch\.pt.*Did you mean .*batches\.pt"):
        check_data(str(tmp_path / "batch.pt"), None)
    with pytest.raises(UsageError, match="is 0, but at least one is needed"):
        check_data(tmp_path / "batches.pt", 0)
    with pytest.raises(UsageError, match="and no data"):
        check_data(None, 3)
