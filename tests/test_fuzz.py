"""The search for hostile files begins with files that are read, and sees what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.fuzz.__main__ import Search, page
from benchmarks.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys
from pathlib import Path
from benchmarks.fuzz.road import read_and_report, stay_here
from benchmarks.fuzz.targets import TARGETS
found = {}
for name, target in TARGETS.items():
    folder = Path(sys.argv[1]) / name
    folder.mkdir()
    stay_here(target.live, target.traced)
    given = target.seeds()
    for beside, data in target.beside().items():
        (folder / beside).write_bytes(data)
    (folder / target.name).write_bytes(target.file(given[0]))
    found[name] = read_and_report(folder if target.is_folder else folder / target.name)
print(json.dumps(found))
"""


def test_the_first_seed_of_every_target_is_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, cwd=ROOT,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(TARGETS, True)


def test_the_page_says_what_was_run_and_found() -> None:
    text = page([Search("ONNX", 90.0, 1200, 34, 5, ""), Search("zip", 30.0, 10, 3, 1, "KeyError: 1")])
    assert "2 minutes in one process at a time, 1,210 executions, 1 found" in text
    assert "| ONNX | ONNX files | 1.5 | 1,200 | 34 | 5 | nothing |" in text
    assert "| KeyError: 1 |" in text
