"""Looking at files and opening them for reading: nothing else in bnlint does either, and only regular files are opened.

Opening a pipe waits until somebody writes into it, reading a device may never end, and a name can be one that the
system refuses. A test holds that this is the only place.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, FileIO
from pathlib import Path
from stat import S_ISREG
from typing import Final, Literal, overload

from bnlint.errors import NotAnalysedError

Name = str | os.PathLike[str]

_AT_ONCE: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened, without waiting for anybody; Python itself adds that no child process inherits it."""

_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR)
_LONGEST_NAME: Final = 255
_EMBEDDED_NUL: Final = "its name holds a NUL character"


class NotRegularError(OSError):
    """A pipe, a socket, a device or a folder where there should be a file."""

    def __init__(self, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}, not a regular file")


@overload
def open_regular(file: Name) -> BufferedReader: ...
@overload
def open_regular(file: Name, buffering: Literal[0]) -> FileIO: ...
def open_regular(file: Name, buffering: Literal[-1, 0] = -1) -> BufferedReader | FileIO:
    """Open a regular file for reading.

    Args:
        file: Its name. A link is followed.
        buffering: 0 for no buffer.

    Raises:
        NotRegularError: It is something else, which is not opened; or was put there between the look and the opening,
            and is closed again without a byte having been read.
        OSError: It cannot be opened.
        ValueError: No file can have such a name.
    """
    mode = os.stat(file).st_mode
    if not S_ISREG(mode):
        raise NotRegularError(_kind(mode))
    return reopen_regular(file) if buffering == 0 else BufferedReader(reopen_regular(file))


def reopen_regular(file: Name) -> FileIO:
    """Open a file once more, without a buffer, that was a regular one when it was opened before.

    Args:
        file: Its name.

    Raises:
        OSError: As for `open_regular`; a device may have been opened.
        ValueError: As for `open_regular`.
    """
    raw = FileIO(os.open(file, _AT_ONCE))
    try:
        status = os.fstat(raw.fileno())
        if not S_ISREG(status.st_mode):
            raise NotRegularError(_kind(status.st_mode))
        if not status.st_size:
            os.read(raw.fileno(), 1)  # there is nothing, but in a log of the kernel, which says that one has to wait
            raw.seek(0)
    except BaseException:
        raw.close()
        raise
    return raw


def read_regular(file: Name, most: int) -> bytes:
    """The content of a regular file that has so many bytes at most.

    Args:
        file: Its name.
        most: How many bytes it may have.

    Raises:
        OSError: It cannot be read, is no regular file, or is longer.
        ValueError: No file can have such a name.
    """
    with open_regular(file) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes")
    return data


def is_regular(file: Name) -> bool:
    """Whether there is a regular file of that name, or a link to one; false where nobody can tell."""
    return os.path.isfile(file)


def is_to_be_read(file: Name) -> bool:
    """Whether there is anything but a folder of that name: a file, or what will be refused when it is to be read."""
    return os.path.exists(file) and not os.path.isdir(file)


def is_folder(file: Name) -> bool:
    """Whether there is a folder of that name, or a link to one; false where nobody can tell."""
    return os.path.isdir(file)


def is_there(file: Name) -> bool:
    """Whether there is anything of that name; a link to nothing is nothing."""
    return os.path.exists(file)


def is_link_to_nothing(file: Name) -> bool:
    """Whether a name is of a link that leads to no file, or round in a circle."""
    return os.path.islink(file) and not os.path.exists(file)


def is_meant(file: Name) -> bool:
    """Whether a name can only be that of a file: one is there, or it is not for want of one that it cannot be read."""
    try:
        os.stat(file)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # for a path that was found, step by step; no name of a file is so long
            return all(len(part) <= _LONGEST_NAME for part in Path(file).parts)
        return error.errno not in _NOT_THERE
    except ValueError:
        return False
    return True


def refusal(file: Name) -> str:
    """Why the system would refuse a file of that name, as `reason` says it; empty where there is or may be one."""
    try:
        os.stat(file)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return reason(error)
    return ""


def resolved(file: Path) -> Path:
    """The absolute path without links.

    Raises:
        OSError: Links lead round in a circle, or the name is too long.
        ValueError: No file can have such a name.
    """
    return Path(os.path.realpath(file))


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read, as the end of a sentence without a full stop; the name of the file is not in it."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    if isinstance(error, UnicodeError):
        return "its name is no text that the system knows"
    return _EMBEDDED_NUL if "null" in str(error) else str(error)


def unreadable(name: str, error: OSError | ValueError, hint: str = "") -> NotAnalysedError:
    """The error for a file that cannot be read.

    Args:
        name: What the user called it.
        error: What opening or reading it raised.
        hint: What the user can do about it.
    """
    if isinstance(error, NotRegularError):
        return NotAnalysedError(f"`{name}` is not a regular file.", hint)
    if isinstance(error, PermissionError):
        return NotAnalysedError(f"`{name}` may not be read: permission denied.", hint)
    return NotAnalysedError(f"`{name}` cannot be read: {reason(error)}.", hint)


def require_regular(file: Name, name: str) -> None:
    """Refuse what is no regular file, or may not be read, in the name of somebody else who will open it.

    Args:
        file: The file.
        name: What the user called it.

    Raises:
        NotAnalysedError: It is no regular file, or cannot be opened.
    """
    try:
        open_regular(file).close()
    except (OSError, ValueError) as error:
        raise unreadable(name, error) from error


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((words for is_kind, words in kinds if is_kind(mode)), "a device")
