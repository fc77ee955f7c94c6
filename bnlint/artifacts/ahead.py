"""Reading an untrusted file while the rest of bnlint is still being imported."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_ZIP: Final = b"PK\x03\x04"
_UNTRUSTED: Final = (_ZIP, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How zip archives and pickles begin; a safetensors file may do so too, by chance."""


def begin(name: str) -> None:
    """Have a child process begin to read a file that bnlint will ask for without an option.

    Args:
        name: A file, or anything else; what is wrong with it is said when it is read.
    """
    path = Path(name)
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return
        with path.open("rb") as file:
            head = file.read(4)
            if not head.startswith(_UNTRUSTED):
                return
            from bnlint.artifacts.inert.sandbox import begin_inert  # a safetensors file needs none
            from bnlint.artifacts.known.packages import NEURAL_NETWORKS
            from bnlint.artifacts.sniff import Kind, sniff

            # Most archives are files of torch.save; what the others are takes reading their lists of contents. For
            # one of torch.jit, torch.export or torch.package what is begun here is lost, and the process that reads
            # starts twice.
            kind = Kind.TORCH_ZIP if head == _ZIP else sniff(file).kind
            begin_inert(path, kind, (NEURAL_NETWORKS,))
    except (OSError, ValueError):
        return
