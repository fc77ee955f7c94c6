"""What the code of a model may do to the process that it runs in; each is a function by its name."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOISE = 9
"""Ways in which `noise` writes to standard output."""


def noise() -> None:
    os.write(1, b"noise\n")
    for stream in (sys.stdout, sys.__stdout__):
        stream.write("noise\n")
    sys.__stdout__.buffer.write(b"noise\n")
    sys.__stdout__.flush()
    subprocess.run(["echo", "noise"], check=False)
    ctypes.CDLL(None).puts(b"noise")
    ctypes.CDLL(None).fflush(None)
    logging.StreamHandler(sys.stdout).handle(logging.LogRecord("", 50, "", 0, "noise", (), None))
    thread = threading.Thread(target=print, args=("noise",))
    thread.start()
    thread.join()
    if os.fork() == 0:
        os.execvp("echo", ["echo", "noise"])
    os.wait()


def rubbish() -> None:
    for descriptor in range(3, 1024):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"rubbish \x05\0\0\0\0\0\0\0")


def much_rubbish() -> None:
    def write() -> None:
        while True:
            rubbish()

    threading.Thread(target=write, daemon=True).start()
    time.sleep(0.1)


def close_all() -> None:
    os.closerange(0, 4096)


def close_and_wait() -> None:
    os.closerange(0, 4096)
    time.sleep(300)


def close_and_reuse() -> None:
    """Files of the model's own take the numbers of what it has closed."""
    os.closerange(3, 4096)
    for _ in range(1000):
        os.open("taken", os.O_RDWR | os.O_CREAT)


def no_files() -> None:
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))


def leave() -> None:
    os._exit(0)


def leave_with_1() -> None:
    os._exit(1)


def leave_a_child() -> None:
    if os.fork() == 0:
        _sleep()
    os._exit(0)


def leave_a_daemon() -> None:
    """It is in no group that could be ended; it holds the pipe, and writes to it."""
    if os.fork() == 0:
        os.setsid()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            rubbish()
        os._exit(0)
    os._exit(0)


def fork_and_go_on() -> None:
    os.fork()


def exec_another() -> None:
    os.execvp("true", ["true"])


def end_the_group() -> None:
    os.killpg(0, signal.SIGTERM)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def raise_own() -> None:
    class Own(BaseException):
        def __str__(self) -> str:
            raise ValueError

    raise Own


def system_exit() -> None:
    sys.exit(0)


def thread() -> None:
    threading.Thread(target=_sleep).start()


def at_exit() -> None:
    atexit.register(os._exit, 0)
    atexit.register(print, "noise")


def no_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_IGN)


def read_everything() -> None:
    assert os.read(0, 100) == b""
    assert sys.stdin.read() == ""


def hang() -> None:
    """Where no exception reaches, with a child."""
    Path("running").write_text(f"{os.getpid()}\n{subprocess.Popen(['sleep', '300']).pid}\n")
    ctypes.PyDLL(None).sleep(300)


def nothing() -> None:
    pass


def wait_for_3() -> None:
    """Until as many processes are here."""
    for number in range(3):
        with contextlib.suppress(FileExistsError):
            Path(f"waits_{number}").touch(exist_ok=False)
            break
    deadline = time.monotonic() + 60
    while len(list(Path().glob("waits_*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)


def make_an_output() -> None:
    """Write what the model is to be folded into."""
    Path("folded.pt").write_text("made")


def make_a_record() -> None:
    """The same with the record of that."""
    Path("folded.pt.bnlint.json").write_text("made")


def _sleep() -> None:
    time.sleep(300)
    os._exit(0)


def act(name: str) -> None:
    """Do one of these."""
    doing: Callable[[], Any] = globals()[name]
    doing()
