"""What weights and pickles are read with needs no torch, and the station needs nothing of bnlint."""

from __future__ import annotations

import json
import subprocess
import sys

_RUN = """
import json, sys
from bnlint.norms import kinds, mode, names, onnx, operators, tensors, weights
own = [name for name in sys.modules if name.startswith("bnlint.") and not name.startswith("bnlint.norms")]
print(json.dumps({"torch": "torch" in sys.modules, "own": own}))
"""


def test_names_and_tables_need_neither_torch_nor_other_stations() -> None:
    done = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"torch": False, "own": []}
