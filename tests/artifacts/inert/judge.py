"""Reads files as the child process does, under a hook that forbids whatever a file could do; run as a script."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy.lib.stride_tricks  # noqa: F401 - imported now, since nothing may be later

from bnlint.artifacts.inert.child import _OPENERS
from bnlint.artifacts.inert.contents import contents
from bnlint.artifacts.inert.directory import read_directory
from bnlint.artifacts.inert.package import read_package
from bnlint.artifacts.inert.regions import OutsideFileError, read_values
from bnlint.artifacts.inert.script import read_script
from bnlint.artifacts.inert.script_code import PARSED_AS

FORBIDDEN = (
    "import", "exec", "compile", "socket", "subprocess", "os.system", "os.exec", "os.spawn", "os.fork", "os.remove",
    "os.rename", "os.mkdir", "pty", "ctypes", "shutil", "pickle.find_class", "marshal", "code.__new__",
)  # fmt: skip


OTHERS = {
    "directory": lambda path: read_directory(path).called,
    "package": lambda path: read_package(path).called,
    "torchscript": lambda path: read_script(path).called,
}


class ForbiddenError(BaseException):
    pass


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise ForbiddenError(f"{event} {arguments[0]}")
    if event == "compile" and arguments[1] == PARSED_AS:  # parsed only: running it would be an event of its own
        return
    if event.startswith(FORBIDDEN):
        raise ForbiddenError(f"{event} {arguments}")


def verdict(form: str, path: Path) -> str:
    try:
        if form in OTHERS:
            return f"read: {', '.join(OTHERS[form](path))}"
        found = contents(_OPENERS[form](path))
        for entry in found.entries:
            tensors = [*entry.tensors.values(), *(t for module in entry.modules for t in module.tensors.values())]
            for tensor in tensors:
                if tensor.storage in found.regions:
                    read_values(path, tensor, found.regions[tensor.storage], found.little_endian)
    except RecursionError:
        return "refused: it nests deeper than any model"
    except OutsideFileError as error:
        return f"outside: {error}"
    except ValueError as error:
        return f"refused: {error}"
    return f"read: {', '.join(found.called)}"


if __name__ == "__main__":
    cases = json.load(io.TextIOWrapper(sys.stdin.buffer))
    for codec in ("cp437", "utf-8", "ascii", "latin-1", "raw-unicode-escape"):  # of names in archives and pickles
        "".encode(codec)
    sys.addaudithook(hook)
    answers = [verdict(form, Path(path)) for form, path in cases]
    sys.stdout.write(json.dumps(answers))
