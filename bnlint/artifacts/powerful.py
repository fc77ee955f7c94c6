"""Names in a pickle whose call can do anything: run commands or code, write files, or reach the network.

The lists are not complete, and a name that looks harmless can be made to do harm.
"""

from __future__ import annotations

import enum
from typing import Final


class Danger(enum.IntEnum):
    """What a call can do, the worst first."""

    RUNS = 0
    LOADS = 1
    REACHES_OUT = 2
    UNKNOWN = 3
    USUAL = 4


_RUNNING_MODULES: Final = frozenset({
    "_aix_support", "_osx_support", "_posixsubprocess", "_pyrepl", "_winapi", "asyncio", "bdb", "cProfile", "code",
    "codeop", "commands", "compileall",
    "concurrent", "ctypes", "distutils", "doctest", "ensurepip", "idlelib", "lib2to3", "multiprocessing", "nt", "os",
    "pdb", "pip", "pkg_resources", "posix", "pty", "py_compile", "pydoc", "runpy", "setuptools", "subprocess", "sys",
    "timeit", "turtledemo", "venv", "zipapp",
})  # fmt: skip
"""Top packages whose functions run commands or code."""

_LOADING_MODULES: Final = frozenset({
    "_pickle", "cPickle", "importlib", "marshal", "pickle", "pkgutil", "shelve", "zipimport",
})  # fmt: skip
"""Top packages whose functions import or unpickle, by which code runs in its turn."""

_REACHING_MODULES: Final = frozenset({
    "aiohttp", "dbm", "fcntl", "fileinput", "ftplib", "http", "httplib", "httpx", "imaplib", "mmap", "msvcrt",
    "nntplib", "paramiko", "platform", "poplib", "requests", "shutil", "signal", "smtpd", "smtplib", "socket",
    "socketserver", "sqlite3", "ssl", "telnetlib", "tempfile", "urllib", "urllib2", "urllib3", "webbrowser", "winreg",
    "wsgiref", "xmlrpc", "xmlrpclib",
})  # fmt: skip
"""Top packages whose functions write files, reach the network, or act on the process."""

_RUNNING_NAMES: Final = frozenset({
    "_operator.call", "_thread.start_new", "_thread.start_new_thread", "atexit.register", "builtins.apply",
    "builtins.breakpoint", "builtins.eval", "builtins.exec", "builtins.execfile", "builtins.help", "builtins.input",
    "imaplib.IMAP4_stream", "logging.config.dictConfig", "logging.config.listen", "operator.call",
    "profile.Profile.run", "profile.Profile.runctx", "profile.run", "profile.runctx", "site.execsitecustomize",
    "site.execusercustomize", "threading.Thread", "threading.Timer", "torch._dynamo.guards.GuardBuilder.get",
    "torch._inductor.codecache.compile_file", "torch.classes.load_library",
    "torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression",
    "torch.jit.unsupported_tensor_ops.execWrapper", "torch.multiprocessing.spawn", "torch.ops.load_library",
    "torch.utils._config_module.ConfigModule.load_config", "torch.utils._config_module.load_config",
    "torch.utils.collect_env.run", "trace.Trace.run", "trace.Trace.runctx", "uuid._get_command_stdout",
})  # fmt: skip

_LOADING_NAMES: Final = frozenset({
    "builtins.__import__", "builtins.compile", "builtins.globals", "builtins.setattr", "builtins.delattr",
    "cloudpickle.load", "cloudpickle.loads", "cloudpickle.cloudpickle.subimport", "dill.load", "dill.loads",
    "dill._dill._import_module", "joblib.load", "joblib.numpy_pickle.load", "numpy.load", "torch.export.load",
    "torch.jit._serialization.load", "torch.jit.load", "torch.load", "torch.package.PackageImporter",
    "torch.serialization.load", "torch.utils.data.datapipes.utils.decoder.basichandlers", "types.CodeType",
    "types.FunctionType",
})  # fmt: skip

_RUNNING_PREFIXES: Final = (
    "torch.hub.", "torch.utils.cpp_extension.", "torch.utils.bottleneck.", "torch.distributed.launch",
    "torch.distributed.run", "torch.testing.", "numpy.testing.", "numpy.distutils.", "numpy.f2py.", "test.support.",
)  # fmt: skip

_REACHING_NAMES: Final = frozenset({
    "builtins.open", "io.open", "_io.open", "_pyio.open", "codecs.open", "io.open_code", "io.FileIO", "_io.FileIO",
    "argparse.FileType", "bz2.open", "gzip.open", "lzma.open", "bz2.BZ2File", "gzip.GzipFile", "lzma.LZMAFile",
    "tarfile.open", "zipfile.ZipFile", "numpy.memmap", "numpy.save", "numpy.savez", "numpy.savetxt", "numpy.fromfile",
    "numpy.ndarray.tofile", "torch.save", "torch.serialization.save", "torch.from_file", "logging.FileHandler",
    "linecache.getlines", "linecache.getline",
})  # fmt: skip

_BY_ANY_PATH: Final = frozenset({
    "builtins", "ctypes", "nt", "os", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys",
})  # fmt: skip
"""Modules that are the same where another one has imported them, as in `numpy.os.system`."""

_USUAL_PACKAGES: Final = frozenset({
    "torch", "torchvision", "torchaudio", "timm", "transformers", "diffusers", "numpy", "lightning",
    "pytorch_lightning", "lightning_fabric", "omegaconf", "safetensors",
})  # fmt: skip
"""Top packages that saved models are usually made of."""

_USUAL_NAMES: Final = {
    "builtins": {
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set",
        "slice", "str", "tuple", "type", "Ellipsis", "long", "unicode",
    },
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "collections": {"ChainMap", "Counter", "OrderedDict", "UserDict", "UserList", "defaultdict", "deque"},
    "copyreg": {"__newobj__", "__newobj_ex__", "_reconstructor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "uuid": {"SafeUUID", "UUID"},
}  # fmt: skip
"""What of Python itself they are made of."""


def danger_of(name: str) -> Danger:
    """What calling what a name stands for can do.

    Args:
        name: Dotted, with the package that defines it, such as `posix.system`.
    """
    package = name.partition(".")[0]
    inner = name.split(".")[1:-1]
    if (
        package in _RUNNING_MODULES
        or name in _RUNNING_NAMES
        or name.startswith(_RUNNING_PREFIXES)
        or not _BY_ANY_PATH.isdisjoint(inner)
    ):
        return Danger.RUNS
    if package in _LOADING_MODULES or name in _LOADING_NAMES:
        return Danger.LOADS
    if package in _REACHING_MODULES or name in _REACHING_NAMES:
        return Danger.REACHES_OUT
    module, _, last = name.rpartition(".")
    usual = package in _USUAL_PACKAGES or last in _USUAL_NAMES.get(module, ())
    return Danger.USUAL if usual else Danger.UNKNOWN


def is_powerful(name: str) -> bool:
    """Whether calling what a name stands for can run commands or code, write files or reach the network.

    Args:
        name: As for `danger_of`.
    """
    return danger_of(name) <= Danger.REACHES_OUT
