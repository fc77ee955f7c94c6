"""Telling addresses of remote files from names of local ones."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+://")
"""At least two letters, for one letter is a drive of Windows."""


def is_remote(name: str) -> bool:
    """Whether a name is an address such as `s3://bucket/model.safetensors`.

    Args:
        name: What the user called a file.
    """
    return _SCHEME.match(name) is not None
