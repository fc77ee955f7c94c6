"""`git clone X; cd X; bnlint check model.pth` runs nothing of X: an audit hook and the files say what ran."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.artifacts.onnx_models import model_of
from tests.artifacts.programs import save
from tests.models import with_plausible_statistics

ROOT = Path(__file__).parents[2]

OPTIONAL = (
    "_winapi", "apex", "colorama", "cuda", "dill", "flint", "fx2trt_oss", "gmpy2", "jax", "monkeytype", "msvcrt", "nt",
    "numba", "numpy", "onnx", "onnxruntime", "opt_einsum", "org", "pandas", "pydot", "pynvml", "scipy", "tabulate",
    "tensorflow", "tensorrt", "timeit", "torch2trt", "torch_xla", "torchcomms", "torchdistx", "torchvision", "tree",
    "triton", "tvm", "typing", "xarray", "yaml", "z3",
)  # fmt: skip
"""What torch and its dependencies import if it is there, a few installed modules, and some of Python itself."""

_MARK = """
import os
os.close(os.open(os.path.join({marks!r}, __name__), os.O_CREAT | os.O_WRONLY))
"""

_HOOK = """
import atexit, os, sys

def note(name):
    with open({log!r}, "a") as file:
        file.write(name + "\\n")

def hook(event, arguments):
    name = ""
    if event == "exec":
        name = arguments[0].co_filename
    elif event in ("open", "import"):
        name = arguments[event == "import"]
    if isinstance(name, str) and name.startswith({folder!r}) and name.endswith((".py", ".pyc")):
        note(name)

def namespaces():
    for name, module in list(sys.modules.items()):
        path = vars(module).get("__path__") or ()
        if any(str(folder).startswith({folder!r}) for folder in path):
            note(name)

sys.addaudithook(hook)
atexit.register(namespaces)
"""

_COMMANDS = """
import sys
from bnlint.cli.main import main

for command in {commands!r}:
    sys.argv = ["bnlint", *command]
    try:
        main()
    except SystemExit as ended:
        if ended.code not in (0, 1):
            raise
"""

_NETS = """
import helpers
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), helpers.norm(4)

    def forward(self, x):
        from late import doubled
        return doubled(self.bn(self.conv(x)))
"""


class Trap:
    """A folder with models, and modules of many names beside them."""

    def __init__(self, folder: Path, turn: int) -> None:
        self._base = folder
        self.folder = folder / "X"
        self.folder.mkdir()
        (folder / "marks").mkdir()
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(
            _HOOK.format(log=str(folder / "log"), folder=str(self.folder))
        )
        for number, name in enumerate(OPTIONAL):
            self._lay(name, ("file", "package", "namespace")[(number + turn) % 3])
        for path in _models():
            path.rename(self.folder / path.name)

    def _lay(self, name: str, form: str) -> None:
        mark = _MARK.format(marks=str(self._base / "marks"))
        if form == "file":
            (self.folder / f"{name}.py").write_text(mark)
            return
        (self.folder / name).mkdir()
        if form == "package":
            (self.folder / name / "__init__.py").write_text(mark)
        else:
            (self.folder / name / "inner.py").write_text(mark)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": f"{self._base / 'site'}{os.pathsep}{ROOT}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr

    def run_all(self, commands: Sequence[str]) -> None:
        """Run commands in one process, which is started as `bnlint` is."""
        script = self._base / "site" / "bnlint_commands.py"
        script.write_text(_COMMANDS.format(commands=[command.split() for command in commands]))
        self.run(str(script))

    @property
    def ran(self) -> set[str]:
        """Names of the modules that ran, were opened or were found."""
        log = self._base / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return {Path(line).name.partition(".")[0] for line in lines} | {path.name for path in self._marks}

    def forget(self) -> None:
        """Forget what ran so far."""
        (self._base / "log").unlink(missing_ok=True)
        for mark in self._marks:
            mark.unlink()

    @property
    def _marks(self) -> list[Path]:
        return list((self._base / "marks").iterdir())


def _models() -> Iterator[Path]:
    """A model in each form."""
    model = with_plausible_statistics(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())).eval()
    torch.save(model, "whole.pt")
    torch.save(model.train(), "training.pt")
    torch.save(model.eval().state_dict(), "weights.pth")
    save(model, (torch.zeros(2, 3, 4, 4),), Path("program.pt2"))
    torch.jit.save(torch.jit.script(model), "script.pt")
    Path("net.onnx").write_bytes(model_of().SerializeToString())
    for name in _FILES:
        yield Path(name)


_FILES = ("whole.pt", "training.pt", "weights.pth", "program.pt2", "script.pt", "net.onnx")


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_commands_on_files_run_nothing_of_the_folder(beside: Path) -> None:
    trap = Trap(beside, 0)
    trap.run_all([
        *(f"check {name}" for name in _FILES),
        *(f"inspect {name}" for name in _FILES),
        "check whole.pt --run",
        "check whole.pt --trust",
        "check training.pt --input 2x3x4x4 --batch-size 2",
        "fold --dry-run whole.pt",
        "fold --dry-run program.pt2 --trust",
        "fold whole.pt -o folded.pt",
        "verify folded.pt --against whole.pt",
    ])  # fmt: skip
    assert trap.ran == set()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_run_nothing_of_the_folder(beside: Path) -> None:
    trap = Trap(beside, 1)
    trap.run("-m", "bnlint", "check", "--jobs", "2", *_FILES)
    assert trap.ran == set()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_the_user_names_runs_with_what_it_imports_and_nothing_else(beside: Path) -> None:
    trap = Trap(beside, 2)
    trap.write("nets.py", _NETS)
    trap.write("helpers.py", "from torch.nn import BatchNorm2d as norm")
    trap.write("late.py", "def doubled(x): return 2 * x")
    trap.run("-P", "-c", "import sys, torch; sys.path += '.'; import nets; torch.save(nets.Net().eval(), 'own.pt')")
    for commands in (
        ["check own.pt --trust --input 2x3x4x4", "check nets:Net", "fold --dry-run program.pt2 --trust"],
        ["check nets:Net own.pt whole.pt --allow nets --input 2x3x4x4 --jobs 2"],
    ):
        trap.forget()
        trap.run_all(commands)
        assert trap.ran == {"nets", "helpers", "late"}, commands
