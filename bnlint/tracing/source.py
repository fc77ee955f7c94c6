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
from torch import fx, nn

from bnlint.report import Location
from bnlint.tracing.saved_source import relative_by_name

_INTERNAL = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parent.parent}{os.sep}")

_START = str(Path(__file__).with_name("record.py"))
"""Where a recorded run of a model begins: frames further out are of whoever called bnlint."""

_FRAME = re.compile(r'File "([^"]+)", line (\d{1,9}), in (\w+)')

_INTERNAL_ELSEWHERE = re.compile(r"[/\\](site|dist)-packages[/\\](torch|bnlint)[/\\]")
"""Torch's own files on the machine where a program was exported."""

Frame = tuple[str, int, str]
"""File name, line number, function name."""


@cache
def is_internal(file: str) -> bool:
    """Whether a source file is torch's or bnlint's own."""
    return file.startswith(_INTERNAL) or file.startswith("<frozen")


def caller() -> Frame | None:
    """The innermost frame outside torch and bnlint: the user's line. Cheap enough for every call of a run.

    `None` where a recorded model is made of nothing but torch's own modules: no line of the user calls anything.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not is_internal(code.co_filename):
            return code.co_filename, frame.f_lineno, code.co_name
        if code.co_filename == _START:
            return None
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


def caller_in_saved_text(stack_trace: str) -> Location | None:
    """The innermost line outside torch of a stack trace in a file from anywhere.

    Args:
        stack_trace: As `torch.export` writes it.

    Returns:
        The place, without the text of the line: the trace can name any file of this machine, and none is opened.
    """
    for file, line, function in reversed(_FRAME.findall(stack_trace)):
        if not is_internal(file) and not _INTERNAL_ELSEWHERE.search(file):
            return Location(relative_by_name(file), int(line), function)
    return None


def location_of_call(node: fx.Node) -> Location | None:
    """The user's line of a call in the graph of an exported program."""
    known: Location | None = node.meta.get("location")
    return known or caller_in_text(node.meta.get("stack_trace") or "")


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
        method = cls.__dict__.get("forward", cls.__dict__.get("__init__"))
        code = getattr(method, "__code__", None) if isinstance(method, types.FunctionType) else None
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
