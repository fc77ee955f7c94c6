"""What needs no torch does not wait for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_RUN = """
import json, sys
import bnlint
code = 0
if sys.argv[1:]:
    from bnlint.cli.main import main
    try:
        code = main()
    except SystemExit as exit:
        code = exit.code
print()
print(json.dumps({"code": code or 0, "torch": "torch" in sys.modules}))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["check", "--help"],
        ["rules"],
        ["explain", "BN501"],
        ["explain", "never-updated-statistics"],
        ["facts"],
    ],
    ids=" ".join,
)
def test_torch_is_not_imported(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", _RUN, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"code": 0, "torch": False}, done.stderr


def test_every_public_name_is_there() -> None:
    import bnlint

    assert [name for name in bnlint.__all__ if not hasattr(bnlint, name)] == []
    assert dir(bnlint) == sorted(bnlint.__all__)
