"""Real models, folded, are used as the originals were: pickled, exported, compiled, scripted, checked."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from tests.folding.proof import awkward, batch_norms, images, relative_error

timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")

ROOT = Path(bnlint.__file__).parent.parent
IMAGES = images(2, 3, 64, 64)

MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "test_efficientnet": lambda: timm.create_model("test_efficientnet", scriptable=True),
    "test_byobnet": lambda: timm.create_model("test_byobnet"),
}
SCRIPTED = ("resnet18", "test_efficientnet")


@cache
def _pair(name: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    model = awkward(MODELS[name]())
    result = bnlint.fold(model, (IMAGES,))
    assert result.verified
    assert result.kept == ()
    return model, result.model


@pytest.fixture(params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """A model, and the same folded, each for this test alone."""
    return copy.deepcopy(_pair(request.param))


def run(model: Callable[[Tensor], Tensor], inputs: Tensor = IMAGES) -> list[Tensor]:
    with torch.no_grad():
        return [model(inputs.clone()).double()]


def test_of_the_same_class_with_the_same_layers(pair: tuple[nn.Module, nn.Module]) -> None:
    model, folded = pair
    assert type(folded) is type(model)
    assert batch_norms(folded) == []
    paths = {path for path, _ in folded.named_modules()}
    assert {path for path, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))} <= paths
    assert relative_error(run(model), run(folded)) < 1e-4


def test_training_mode_changes_no_weight_and_eval_gives_the_same(pair: tuple[nn.Module, nn.Module]) -> None:
    _, folded = pair
    expected, before = run(folded), {name: tensor.clone() for name, tensor in folded.state_dict().items()}
    run(folded.train())
    assert torch.equal(run(folded.eval())[0], expected[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in folded.state_dict().items())


def test_a_state_dict_fits_the_fold_of_another_instance(pair: tuple[nn.Module, nn.Module], tmp_path: Path) -> None:
    model, folded = pair
    torch.save(folded.state_dict(), tmp_path / "folded.pth")
    for parameter in model.parameters():
        parameter.data.mul_(0.5)
    other = bnlint.fold(model, (IMAGES,)).model
    other.load_state_dict(torch.load(tmp_path / "folded.pth"))
    assert torch.equal(run(other)[0], run(folded)[0])


def test_exported(pair: tuple[nn.Module, nn.Module]) -> None:
    _, folded = pair
    program = torch.export.export(folded, (IMAGES,))
    assert not any("batch_norm" in str(node.target) for node in program.graph.nodes)
    assert relative_error(run(folded), run(program.module())) < 1e-5


def test_compiled(pair: tuple[nn.Module, nn.Module]) -> None:
    _, folded = pair
    torch.compiler.reset()
    compiled = torch.compile(folded, backend="aot_eager", fullgraph=True)
    assert relative_error(run(folded), run(compiled)) < 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SCRIPTED)
def test_scripted_where_the_original_was(name: str) -> None:
    model, folded = copy.deepcopy(_pair(name))
    torch.jit.script(model)
    assert relative_error(run(folded), run(torch.jit.script(folded))) < 1e-5


def test_frozen_weights_and_their_layout_stay(pair: tuple[nn.Module, nn.Module]) -> None:
    model, _ = pair
    model.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    folded = bnlint.fold(model, (IMAGES.to(memory_format=torch.channels_last),)).model
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    for name, parameter in folded.named_parameters():
        if parameter.dim() == 4 and min(parameter.shape[1:]) > 1:
            assert parameter.is_contiguous(memory_format=torch.channels_last), name


@pytest.mark.parametrize("name", MODELS)
def test_check_has_nothing_more_to_fold(name: str) -> None:
    model, folded = _pair(name)
    before, after = (bnlint.check(item, inputs=(IMAGES,)) for item in (model, folded))
    assert "BN601" in {finding.code for finding in before.findings}
    assert not {"BN601", "BN602"} & {finding.code for finding in after.findings}


def test_pickles_load_where_there_is_no_bnlint(tmp_path: Path) -> None:
    for name in MODELS:
        torch.save(_pair(name)[1], tmp_path / f"{name}.pt")
    program = (
        "import runpy, sys\n"
        "sys.modules['bnlint'] = None\n"
        f"runpy.run_path({str(ROOT / 'tests' / 'torchvision_ops.py')!r})\n"
        "import torch\n"
        f"for name in {list(MODELS)}:\n"
        "    model = torch.load(name + '.pt', weights_only=False)\n"
        "    torch.save(model(torch.load('images.pt')).detach(), name + '.out')\n"
    )
    torch.save(IMAGES, tmp_path / "images.pt")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in MODELS:
        outcome: Any = torch.load(tmp_path / f"{name}.out")
        assert relative_error(run(_pair(name)[0]), [outcome.double()]) < 1e-4


def test_a_hook_on_a_layer_is_reported_and_keeps_it() -> None:
    model, _ = copy.deepcopy(_pair("resnet18"))
    seen: list[Tensor] = []
    model.layer1[0].bn1.register_forward_hook(lambda *call: seen.append(call[2]))  # type: ignore[index,union-attr]
    result = bnlint.fold(model, (IMAGES,))
    assert [(kept.layer, kept.reason) for kept in result.kept] == [("layer1.0.bn1", "layer1.0.bn1 has a forward hook")]
