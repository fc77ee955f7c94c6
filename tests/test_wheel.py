"""The wheel holds all that bnlint needs, the rules included."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean virtual environment, outside the source tree, with the wheel installed."""
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (wheel,) = folder.glob("bnlint-*.whl")
    environment = folder / "environment"
    venv.create(environment)
    _run(sys.executable, "-m", "pip", "--python", environment, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # The dependencies are those already installed here: downloading torch again would prove nothing more. A path file
    # adds the folder alone; it does not process the editable install of bnlint in it.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment


def test_installed_wheel_lists_its_rules(environment: Path, tmp_path: Path) -> None:
    listed = _run(environment / "bin/bnlint", "rules", cwd=tmp_path).stdout
    assert "BN501" in listed
    assert "never-updated-statistics" in listed
    assert "BN601  warning" in _run(environment / "bin/bnlint", "rules", "--profile", "deploy", cwd=tmp_path).stdout


def test_rules_come_from_the_wheel_and_without_torch(environment: Path, tmp_path: Path) -> None:
    code = (
        "import sys, bnlint; from bnlint.ruleset import load_rules; rules = load_rules();"
        "print(bnlint.__file__, len(rules), 'torch' in sys.modules)"
    )
    file, count, torch_imported = _run(environment / "bin/python", "-c", code, cwd=tmp_path).stdout.split()
    assert Path(file).is_relative_to(environment)
    assert int(count) == len(list((ROOT / "rules").glob("BN*.yaml")))
    assert torch_imported == "False"


def test_wheel_is_typed_and_carries_the_licence(environment: Path) -> None:
    (site_packages,) = environment.glob("lib/python*/site-packages")
    assert (site_packages / "bnlint/py.typed").is_file()
    assert list(site_packages.glob("bnlint-*.dist-info/licenses/LICENSE"))
