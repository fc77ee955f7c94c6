"""Source lines: where the user's code makes a call, where a class is defined."""

from __future__ import annotations

import linecache
import os
import re
import sys
import types
from functools import cache
from pathlib import Path

import torch
from torch import nn

from bnlint.report import Location

_INTERNAL = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parent.parent}{os.sep}")

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')

Frame = tuple[str, int, str]
"""File name, line number, function name."""


@cache
def is_internal(file: str) -> bool:
    """Whether a source file is torch's or bnlint's own."""
    return file.startswith(_INTERNAL) or file.startswith("<frozen")


def caller() -> Frame | None:
    """The innermost frame outside torch and bnlint: the user's line. Cheap enough for every call of a run."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not is_internal(code.co_filename):
            return code.co_filename, frame.f_lineno, code.co_name
        frame = frame.f_back
    return None


def location(frame: Frame) -> Location:
    """A frame as a `Location`: the path relative to where Python imports it from, and the text of the line."""
    file, line, function = frame
    return Location(relative_path(file), line, function, linecache.getline(file, line).strip())


def caller_in_text(stack_trace: str) -> Location | None:
    """The innermost line outside torch of a stack trace in words, as `torch.export` keeps it."""
    frames = _FRAME.findall(stack_trace)
    for file, line, function in reversed(frames):
        if not is_internal(file):
            return location((file, int(line), function))
    return None


@cache
def relative_path(file: str) -> str:
    """The path of a source file relative to the current folder or to the import root that it comes from."""
    if file.startswith("<"):
        return file
    path = Path(file).resolve()
    roots = [Path.cwd(), *(Path(entry).resolve() for entry in sys.path)]
    nearest = max((root for root in roots if path.is_relative_to(root)), key=lambda root: len(root.parts), default=None)
    return path.name if nearest is None else path.relative_to(nearest).as_posix()


def class_location(module: nn.Module) -> Location | None:
    """Where the class of a module is defined; `None` for classes of torch itself and for classes without source."""
    for cls in type(module).__mro__:
        method = cls.__dict__.get("forward") or cls.__dict__.get("__init__")
        code = getattr(method, "__code__", None)
        if code is None or is_internal(code.co_filename):
            return None
        return location(
            (code.co_filename, _class_line(code.co_filename, code.co_firstlineno, cls.__name__), cls.__name__)
        )
    return None


@cache
def _class_line(file: str, method_line: int, name: str) -> int:
    """The line of a class statement, looked for upwards from one of its methods; parsing the file would be slow."""
    lines = linecache.getlines(file)[:method_line]
    statement = re.compile(rf"\s*class {re.escape(name)}\b")
    return next((number for number in range(len(lines), 0, -1) if statement.match(lines[number - 1])), method_line)
