"""Modules of the current folder: who finds them, who does not, and that nothing is left on `sys.path`."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bnlint.artifacts.current_folder import admitting
from bnlint.artifacts.read import read
from bnlint.errors import NotAnalysedError, UsageError

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(2)
"""

OWN = frozenset({"nets", "helpers", "late", "elsewhere", "models"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of its own; what is imported from it is forgotten."""
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "site").mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*filter(None, sys.path), str(tmp_path / "site")])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield here
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


LAID_OUT = {
    "a file beside it": ("nets:Net", {"nets.py": f"import helpers{NET}", "helpers.py": ""}),
    "a package with relative imports": (
        "models.net:Net",
        {"models/__init__.py": "", "models/net.py": f"from . import part{NET}", "models/part.py": ""},
    ),
    "a folder without __init__": (
        "models.net:Net",
        {"models/net.py": f"import models.part{NET}", "models/part.py": ""},
    ),
    "import_module": (
        "nets:Net",
        {"nets.py": f"import importlib\nimportlib.import_module('helpers'){NET}", "helpers.py": ""},
    ),
    "find_spec": (
        "nets:Net",
        {"nets.py": f"import importlib.util\nassert importlib.util.find_spec('helpers'){NET}", "helpers.py": ""},
    ),
    "resolve_name": (
        "nets:Net",
        {"nets.py": f"import pkgutil\npkgutil.resolve_name('helpers:value'){NET}", "helpers.py": "value = 1"},
    ),
    "a chain of neighbours": (
        "nets:Net",
        {"nets.py": f"import helpers{NET}", "helpers.py": "import late", "late.py": ""},
    ),
    "another current folder": (
        "nets:Net",
        {"nets.py": f"import os\nos.chdir('/')\nimport helpers{NET}", "helpers.py": ""},
    ),
    "a thread": (
        "nets:Net",
        {
            "nets.py": f"import threading\ndef work():\n    import helpers\nthread = threading.Thread(target=work)\n"
            f"thread.start()\nthread.join()\nimport sys\nassert 'helpers' in sys.modules{NET}",
            "helpers.py": "",
        },
    ),
    "an attribute that is imported when asked for": (
        "nets:Net",
        {"nets.py": "def __getattr__(name):\n    import helpers\n    return helpers.Net", "helpers.py": NET},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LAID_OUT)
def test_a_module_that_is_named_finds_its_neighbours(folder: Path, case: str) -> None:
    text, files = LAID_OUT[case]
    lay(folder, files)
    before = list(sys.path)
    artifact = read(text)
    assert artifact.module is not None
    assert type(artifact.module).__name__ == "Net"
    assert sys.path == before


def test_a_neighbour_is_found_when_the_model_runs(folder: Path) -> None:
    forward = "    def forward(self, x):\n        import late\n        return self.bn(late.doubled(x))\n"
    lay(folder, {"nets.py": NET + forward, "late.py": "def doubled(x): return 2 * x"})
    model = read("nets:Net").module
    assert model is not None
    os.chdir("/")
    assert model.eval()(torch.ones(1, 2)).mean().item() == pytest.approx(2, abs=1e-3)


def test_installed_code_that_the_model_calls_finds_nothing(folder: Path, tmp_path: Path) -> None:
    """As torch looks for the optional `triton`, while the user's module is imported and when it runs."""
    site = (
        "def look():\n    try:\n        import late\n    except ImportError:\n        return False\n    return True\n"
    )
    lay(tmp_path / "site", {"elsewhere.py": f"{site}at_import = look()\n"})
    lay(folder, {"nets.py": f"import elsewhere\nbuilding = elsewhere.look(){NET}", "late.py": "1 / 0"})
    read("nets:Net")
    nets, elsewhere = sys.modules["nets"], sys.modules["elsewhere"]
    assert (elsewhere.at_import, nets.building, elsewhere.look()) == (False, False, False)


def test_installed_code_that_needs_a_module_of_the_folder_is_told_how(folder: Path, tmp_path: Path) -> None:
    lay(tmp_path / "site", {"elsewhere.py": "import importlib\ndef make(name): return importlib.import_module(name)"})
    lay(folder, {"nets.py": f"import elsewhere\nelsewhere.make('helpers'){NET}", "helpers.py": ""})
    with pytest.raises(UsageError) as caught:
        read("nets:Net")
    assert caught.value.cause == "Importing `nets` failed: ModuleNotFoundError: No module named 'helpers'."
    assert "`helpers` lies in this folder" in caught.value.hint
    assert "PYTHONPATH=." in caught.value.hint


def test_what_is_installed_comes_first(folder: Path, tmp_path: Path) -> None:
    lay(tmp_path / "site", {"nets.py": f"import helpers{NET}", "helpers.py": "installed = True"})
    lay(folder, {"nets.py": "1 / 0", "helpers.py": "1 / 0"})
    read("nets:Net")
    assert sys.modules["helpers"].installed


def test_a_package_comes_before_a_folder_that_lies_among_the_installed_ones(folder: Path, tmp_path: Path) -> None:
    """As on `sys.path`: a folder without `__init__.py` is a package only where there is no other."""
    lay(tmp_path / "site", {"models/readme.py": ""})
    lay(folder, {"models/__init__.py": NET})
    assert read("models:Net").module is not None


def test_a_namespace_is_in_both_places(folder: Path, tmp_path: Path) -> None:
    lay(tmp_path / "site", {"models/installed.py": "def look():\n    import late\n"})
    lay(folder, {"models/net.py": f"import models.installed, helpers{NET}", "helpers.py": "", "late.py": ""})
    assert read("models.net:Net").module is not None
    with pytest.raises(ModuleNotFoundError):
        sys.modules["models.installed"].look()


def test_where_nothing_is_found_nothing_is_left(folder: Path) -> None:
    lay(folder, {"late.py": "1 / 0"})
    before = list(sys.meta_path), list(sys.path)
    with pytest.raises(UsageError) as caught:
        read("latte:Net")
    assert str(caught.value) == "There is no module `latte`. Did you mean `late`?"
    assert (sys.meta_path, sys.path) == before
    assert "late" not in sys.modules


def test_the_path_of_a_session_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the current folder is on the path, by the empty text, and what is found there is found."""
    path = ["", *sys.path]
    monkeypatch.setattr(sys, "path", path)
    lay(folder, {"nets.py": f"import helpers{NET}", "helpers.py": ""})
    read("nets:Net")
    assert sys.path is path
    assert path[0] == ""


def test_a_name_is_admitted_in_its_block_only(folder: Path) -> None:
    lay(folder, {"nets.py": "", "helpers.py": "", "late.py": ""})
    with admitting("nets.inner"):
        with admitting("late"):
            import late  # type: ignore[import-not-found]  # noqa: F401
        import nets  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        import helpers  # type: ignore[import-not-found]  # noqa: F401


def test_without_a_current_folder(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(UsageError, match="There is no module `nets`"):
        read("nets:Net")


def _by_zip(model: object) -> None:
    torch.save(model, "model.pt")


def _by_legacy(model: object) -> None:
    torch.save(model, "model.pt", _use_new_zipfile_serialization=False)


def _by_pickle(protocol: int) -> Callable[[object], None]:
    return lambda model: (Path("model.pt").write_bytes(pickle.dumps(model, protocol)), None)[1]


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (_by_zip, {"trust": True}),
        (_by_legacy, {"trust": True}),
        (_by_pickle(0), {"trust": True}),
        (_by_pickle(2), {"trust": True}),
        (_by_pickle(4), {"trust": True}),
        (_by_zip, {"allow": "models"}),
        (_by_pickle(4), {"allow": "models"}),
    ],
    ids=["zip", "legacy", "protocol 0", "protocol 2", "protocol 4", "allowed", "protocol 4 allowed"],
)
def test_a_whole_model_finds_the_module_of_its_class(
    folder: Path, write: Callable[[object], None], options: dict[str, object]
) -> None:
    lay(folder, {"models/__init__.py": "import helpers", "models/net.py": NET, "helpers.py": "", "late.py": "1 / 0"})
    with admitting("models"):
        import models.net  # type: ignore[import-not-found]
    write(models.net.Net().eval())
    for name in ("models", "models.net", "helpers"):
        del sys.modules[name]
    model = read("model.pt", **options).module  # type: ignore[arg-type]
    assert type(model).__module__ == "models.net"
    assert "helpers" in sys.modules


def test_a_file_that_does_not_name_it_does_not_find_it(folder: Path) -> None:
    """Only what the pickle itself names: here a call gives the name as a text."""
    lay(folder, {"nets.py": NET, "late.py": "1 / 0"})
    with admitting("nets"):
        import nets
    model = nets.Net()
    model.other = _Imports("late")
    torch.save(model, "model.pt")
    with pytest.raises(NotAnalysedError) as caught:
        read("model.pt", trust=True)
    assert "No module named 'late'" in caught.value.cause
    assert "`late` lies in this folder" in caught.value.hint


class _Imports:
    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[object, ...]:
        return __import__, (self._name,)


def test_a_program_finds_the_class_of_its_example_input(folder: Path) -> None:
    given = "@dataclasses.dataclass\nclass Given:\n    x: torch.Tensor\n"
    given += "torch.export.register_dataclass(Given, serialized_type_name='nets.Given')\n"
    forward = "    def forward(self, given):\n        return self.bn(given.x)\n"
    lay(folder, {"nets.py": f"import dataclasses, torch{NET}{forward}{given}"})
    script = "import sys; sys.path += '.'; import nets, torch\n"
    script += "model = torch.export.export(nets.Net().eval(), (nets.Given(torch.zeros(2, 2)),))\n"
    subprocess.run([sys.executable, "-c", f"{script}torch.export.save(model, 'program.pt2')"], check=True)
    artifact = read("program.pt2", trust=True)
    assert artifact.live_program is not None, artifact.not_live
