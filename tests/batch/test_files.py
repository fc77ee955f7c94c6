"""Many files are checked as each would be alone, and none harms another."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import bnlint
from bnlint import Failure, Report, UsageError
from bnlint.artifacts.targets import Target
from bnlint.batch import files
from bnlint.batch.examine import Skipped, examine
from tests.models import with_plausible_statistics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good files, a good folder, a fresh file, one that is cut short, and what is no model."""
    place = tmp_path_factory.mktemp("models")
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(model.state_dict(), place / "fresh.pt")
    with_plausible_statistics(model)
    torch.save(model.state_dict(), place / "good.pt")
    save_file(model.state_dict(), place / "a.safetensors")
    (place / "cut.pt").write_bytes((place / "good.pt").read_bytes()[:700])
    (place / "bert").mkdir()
    save_file(model.state_dict(), place / "bert" / "model.safetensors")
    (place / "bert" / "config.json").write_text("{}")
    torch.save({"state": {}}, place / "bert" / "optimizer.pt")
    (place / "notes.txt").write_text("nothing")
    torch.save({"lr": 0.1}, place / "schedule.pt")
    return place


def test_each_report_is_that_of_the_file_alone_in_the_order_of_names(folder: Path) -> None:
    found = list(bnlint.check_files(folder, jobs=2, select="BN5", batch_size=4))
    assert [Path(result.target).name for result in found] == ["a.safetensors", "bert", "cut.pt", "fresh.pt", "good.pt"]
    for result in found:
        if isinstance(result, Report):
            assert result == bnlint.check(result.target, select="BN5", batch_size=4)
    (failure,) = (result for result in found if isinstance(result, Failure))
    with pytest.raises(bnlint.NotAnalysedError) as alone:
        bnlint.check(failure.target)
    assert failure.sentence == str(alone.value)
    assert failure.exit_code == 3


def test_torch_stays_out_of_the_process_that_writes_the_report(folder: Path) -> None:
    code = (
        "import sys, bnlint\n"
        "found = [getattr(result, 'cause', result.exit_code) for result in bnlint.check_files(sys.argv[1:])]\n"
        "print(found[:2], 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(folder / "good.pt"), str(folder / "fresh.pt"), "nowhere.pt"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[1, 0] False\n", done.stderr


def test_results_do_not_wait_for_all_and_few_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    class Instant:
        def __init__(self, *_arguments: Any, **_options: Any) -> None:
            pass

        def examine(self, target: Target) -> Skipped:
            begun.append(target.name)
            return Skipped(target.name)

        def end(self) -> None:
            begun.append("ended")

        def close(self) -> None:
            pass

    def names() -> Iterator[Target]:
        for number in range(10_000):
            taken.append(number)
            yield Target(str(number))

    taken: list[int] = []
    monkeypatch.setattr(files, "Pool", Instant)
    with closing(files.examine_targets(names(), {}, jobs=2)) as results:  # type: ignore[arg-type]
        got = [next(results).target for _ in range(100)]
    assert got == [str(number) for number in range(100)]
    assert len(taken) <= 100 + 8 * 2
    assert begun[-1] == "ended"


def test_whatever_goes_wrong_with_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "def check(*_arguments, **_options):\n    raise SystemExit('two\\nlines.')\n"
        "sys.modules['bnlint.linter'] = module = types.ModuleType('bnlint.linter')\n"
        "module.check = check\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (result,) = bnlint.check_files([tmp_path / "x.pt"])
    assert isinstance(result, Failure)
    assert result.cause == f"bnlint itself failed on `{tmp_path}/x.pt`: SystemExit: two lines."
    assert result.exit_code == 2


def test_a_pickle_that_is_no_model_counts_only_where_it_is_named(folder: Path) -> None:
    name = str(folder / "schedule.pt")
    assert examine(Target(name, found=True)) == Skipped(name)
    with pytest.raises(bnlint.NotAnalysedError, match="not a model or its weights"):
        examine(Target(name))


def test_every_argument_of_check_is_either_for_all_models_or_for_one() -> None:
    of_one, of_many = (inspect.signature(function).parameters.keys() for function in (bnlint.check, bnlint.check_files))
    assert of_one - of_many == {"target", "weights", "kwargs", "loader", "progress"}
    assert of_many - of_one == {"paths", "jobs", "file_timeout"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"select": "BN999"}, "BN999"),
        ({"profile": "strickt"}, "strict"),
        ({"inputs": "1xtwo"}, "1xtwo"),
        ({"padding": "one=two"}, "one=two"),
        ({"weights": "w.pt"}, "`weights` does not apply to many models"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_what_is_wrong_for_all_is_said_before_any_is_read(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        next(bnlint.check_files(["a.pt", "b.pt"], **arguments))
