from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from bnlint.facts.named_layers import NamedLayers, named_layers
from bnlint.tracing.kinds import NormKind


def of(model: nn.Module) -> NamedLayers:
    weights = model.state_dict()
    versions = {path: item["version"] for path, item in weights._metadata.items()}
    return named_layers(weights, versions)


def kinds(found: NamedLayers) -> dict[str, NormKind | None]:
    return {layer.path: layer.kind for layer in found.layers}


@pytest.mark.parametrize(("affine", "members"), [(True, 5), (False, 3)])
def test_a_mean_with_a_variance_is_a_batch_norm(affine: bool, members: int) -> None:
    found = of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=affine)))
    (layer,) = found.layers
    assert (layer.path, layer.kind) == ("1", NormKind.BATCH)
    assert len(layer.tensors) == members
    assert layer.tensors["running_var"] == "1.running_var"


def test_at_the_root_the_path_is_empty() -> None:
    (layer,) = of(nn.BatchNorm1d(4)).layers
    assert (layer.path, layer.tensors["weight"]) == ("", "weight")


@pytest.mark.parametrize(
    ("name", "module", "kind"),
    [
        ("ln_1", nn.LayerNorm(4), NormKind.LAYER),
        ("input_layernorm", nn.LayerNorm(4), NormKind.LAYER),
        ("LayerNorm", nn.LayerNorm(4), NormKind.LAYER),
        ("group_norm", nn.GroupNorm(2, 4), NormKind.GROUP),
        ("gn2", nn.GroupNorm(2, 4), NormKind.GROUP),
        ("rms_norm", nn.RMSNorm(4), NormKind.RMS),
        ("bn1", nn.BatchNorm2d(4, track_running_stats=False), NormKind.BATCH),
        ("instance_norm", nn.InstanceNorm2d(4, track_running_stats=True), NormKind.INSTANCE),
        ("norm1", nn.LayerNorm(4), None),
        ("norm1", nn.GroupNorm(2, 4), None),
        ("ln", nn.LayerNorm(4, bias=False), None),  # or an RMSNorm, as in T5
        ("input_layernorm", nn.RMSNorm(4), None),  # as in Llama
    ],
)
def test_others_are_told_by_their_name(name: str, module: nn.Module, kind: NormKind | None) -> None:
    assert kinds(of(nn.ModuleDict({name: module}))) == {name: kind}


def test_a_list_is_called_after_its_own_name() -> None:
    model = nn.ModuleDict({"norms": nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4)])})
    assert kinds(of(model)) == {"norms.0": None, "norms.1": None}


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("norm", nn.Linear(4, 4)),
        ("norm", nn.Conv2d(4, 4, 1)),
        ("norm", nn.LSTM(4, 4)),
        ("norm", nn.MultiheadAttention(4, 2)),
        ("normal", nn.PReLU(4)),
        ("act", nn.PReLU(4)),
        ("fc", nn.Linear(4, 4)),
        ("embedding", nn.Embedding(4, 4)),
    ],
)
def test_other_layers_are_none_whatever_their_name(name: str, module: nn.Module) -> None:
    assert of(nn.ModuleDict({name: module})) == NamedLayers((), ())


def test_whole_numbers_are_no_scale() -> None:
    tensors = {"norm.weight": torch.ones(4, dtype=torch.int8), "norm.bias": torch.ones(4)}
    assert not named_layers(tensors).layers


def test_names_of_converted_models() -> None:
    (layer,) = named_layers({"LayerNorm.gamma": torch.ones(4), "LayerNorm.beta": torch.zeros(4)}).layers
    assert layer.tensors == {"weight": "LayerNorm.gamma", "bias": "LayerNorm.beta"}
    assert layer.kind is NormKind.LAYER


@pytest.mark.parametrize("missing", ["running_mean", "running_var"])
def test_half_of_the_statistics_is_no_layer_but_a_half(missing: str) -> None:
    weights = dict(nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)).state_dict())
    del weights[f"1.{missing}"]
    found = named_layers(weights)
    assert [layer.path for layer in found.layers] == ["0"]
    (half,) = found.halves
    assert (half.path, half.missing) == ("1", missing)
    assert {half.present, half.missing} == {"running_mean", "running_var"}


def test_a_running_standard_deviation_is_another_design() -> None:
    tensors = {"renorm.running_mean": torch.zeros(4), "renorm.running_std": torch.ones(4)}
    assert not named_layers(tensors).halves


def test_metadata_shows_layers_without_statistics() -> None:
    model = nn.Sequential(
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, affine=True),
        nn.ReLU(),
        nn.LSTM(4, 4),
    )
    found = of(model)
    assert kinds(found) == {"0": None, "2": None, "1": None}
    without = dict(model.state_dict())
    assert not named_layers(without).layers  # the same weights without metadata tell nothing


def test_torch_is_not_imported() -> None:
    code = "import sys, bnlint.facts.named_layers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
