"""What has become of other processes; for Linux."""

from __future__ import annotations

import time
from pathlib import Path


def gone(process: int) -> bool:
    """Whether a process ends within some seconds; who has become a child of another may wait for it when it likes."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
