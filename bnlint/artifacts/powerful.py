"""Names in a pickle whose call can do anything: run commands or code, write files, or reach the network.

The lists are not complete, and a name that looks harmless can be made to do harm.
"""

from __future__ import annotations

from typing import Final

_POWERFUL_MODULES: Final = frozenset({
    "asyncio", "code", "codeop", "commands", "ctypes", "fcntl", "ftplib", "http", "importlib", "multiprocessing", "nt",
    "os", "pdb", "pickle", "_pickle", "cPickle", "pip", "platform", "posix", "pty", "runpy", "shutil", "signal",
    "smtplib", "socket", "subprocess", "sys", "tempfile", "timeit", "urllib", "webbrowser", "zipimport",
})  # fmt: skip
"""Top packages whose functions run commands, write files, reach the network, or import and run code."""

_POWERFUL_NAMES: Final = frozenset({
    "builtins.eval", "builtins.exec", "builtins.compile", "builtins.open", "builtins.__import__", "builtins.breakpoint",
    "builtins.globals", "io.open", "_io.open", "io.FileIO", "_io.FileIO", "marshal.loads", "types.CodeType",
    "types.FunctionType", "torch.load", "torch.serialization.load", "torch.jit.load", "torch.jit._serialization.load",
    "torch.hub.load", "torch.hub.load_state_dict_from_url", "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.load_inline", "torch.ops.load_library", "torch.classes.load_library",
    "numpy.load", "numpy.testing._private.utils.runstring",
})  # fmt: skip


def is_powerful(name: str) -> bool:
    """Whether calling what a name stands for can do anything.

    Args:
        name: Dotted, with the package that defines it, such as `posix.system`.
    """
    return name.partition(".")[0] in _POWERFUL_MODULES or name in _POWERFUL_NAMES
