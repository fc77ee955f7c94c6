"""Reading an untrusted file while the rest of bnlint is still being imported."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bnlint.opening import open_regular

_UNTRUSTED: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How zip archives and pickles begin; a safetensors file may do so too, by chance."""


def begin(name: str) -> None:
    """Have a child process begin to read a file that bnlint will ask for without an option.

    Args:
        name: A file, or anything else; what is wrong with it is said when it is read.
    """
    try:
        with open_regular(name) as file:
            if not file.read(4).startswith(_UNTRUSTED):
                return
            from bnlint.artifacts.inert.sandbox import begin_inert  # a safetensors file needs none
            from bnlint.artifacts.known.packages import NEURAL_NETWORKS
            from bnlint.artifacts.sniff import sniff

            begin_inert(Path(name), sniff(file).kind, (NEURAL_NETWORKS,))
    except (OSError, ValueError):
        return
