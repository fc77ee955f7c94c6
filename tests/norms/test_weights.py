from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from bnlint.norms.kinds import NormKind
from bnlint.norms.weights import NamedLayer, named_layers


def of(model: nn.Module) -> tuple[NamedLayer, ...]:
    weights = model.state_dict()
    versions = {path: item["version"] for path, item in weights._metadata.items()}
    return named_layers(weights, versions)


def kinds(found: tuple[NamedLayer, ...]) -> dict[str, NormKind | None]:
    return {layer.path: layer.kind for layer in found}


@pytest.mark.parametrize(("affine", "members"), [(True, 5), (False, 3)])
def test_a_mean_with_a_variance_is_a_batch_norm(affine: bool, members: int) -> None:
    found = of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=affine)))
    (layer,) = found
    assert (layer.path, layer.kind) == ("1", NormKind.BATCH)
    assert len(layer.tensors) == members
    assert layer.tensors["running_var"] == "1.running_var"


def test_at_the_root_the_path_is_empty() -> None:
    (layer,) = of(nn.BatchNorm1d(4))
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
    assert of(nn.ModuleDict({name: module})) == ()


def test_whole_numbers_are_no_scale() -> None:
    tensors = {"norm.weight": torch.ones(4, dtype=torch.int8), "norm.bias": torch.ones(4)}
    assert not named_layers(tensors)


def test_statistics_under_the_names_of_tensorflow() -> None:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    (layer,) = named_layers({f"bn.{name}": torch.ones(4) for name in names})
    assert layer.kind is NormKind.BATCH
    assert layer.tensors["running_var"] == "bn.moving_variance"


def test_names_of_converted_models() -> None:
    (layer,) = named_layers({"LayerNorm.gamma": torch.ones(4), "LayerNorm.beta": torch.zeros(4)})
    assert layer.tensors == {"weight": "LayerNorm.gamma", "bias": "LayerNorm.beta"}
    assert layer.kind is NormKind.LAYER


STATISTICS = ["running_mean", "running_var"]


def without(model: nn.Module, *dropped: str) -> dict[str, torch.Tensor]:
    """The weights of a model but for tensors whose names end so, without metadata."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith(dropped)}


@pytest.mark.parametrize("missing", STATISTICS)
@pytest.mark.parametrize("affine", [True, False])
def test_the_counter_shows_half_of_a_batch_norm(missing: str, affine: bool) -> None:
    (layer,) = named_layers(without(nn.Sequential(nn.BatchNorm2d(4, affine=affine)), missing))
    assert (layer.path, layer.kind) == ("0", NormKind.BATCH)
    assert [name for name in STATISTICS if name not in layer.tensors] == [missing]


def test_the_counter_shows_a_batch_norm_without_its_statistics() -> None:
    (layer,) = named_layers(without(nn.Sequential(nn.BatchNorm2d(4)), *STATISTICS))
    assert layer.kind is NormKind.BATCH
    assert set(layer.tensors) == {"weight", "bias", "num_batches_tracked"}


@pytest.mark.parametrize("missing", STATISTICS)
def test_metadata_shows_half_of_a_batch_norm(missing: str) -> None:
    tensors = without(nn.Sequential(nn.BatchNorm2d(4)), missing, "num_batches_tracked")
    assert kinds(named_layers(tensors, {"0": 2})) == {"0": NormKind.BATCH}
    assert not named_layers(tensors, {"0": 1})  # as of EvoNorm


def test_whole_layers_beside_it_show_half_of_a_batch_norm() -> None:
    tensors = without(nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)), "num_batches_tracked", "1.running_mean")
    assert kinds(named_layers(tensors)) == {"0": NormKind.BATCH, "1": NormKind.BATCH}
    alone = {name: value for name, value in tensors.items() if name.startswith("1.")}
    assert not named_layers(alone)


def test_whole_layers_with_counters_show_that_one_without_is_another_design() -> None:
    evo_norm = {f"1.{name}": torch.ones(4) for name in ("weight", "bias", "running_var")}
    assert kinds(named_layers(without(nn.Sequential(nn.BatchNorm2d(4))) | evo_norm)) == {"0": NormKind.BATCH}


@pytest.mark.parametrize(
    "names",
    [
        ("weight", "bias", "running_mean", "running_std", "num_batches_tracked"),  # BatchRenorm
        ("running_mean",),
        ("running_var",),
        ("running_mean", "running_var", "count"),  # of observations
        ("running_mean", "count"),
        ("running_mean", "running_var", "num_samples"),
        ("num_batches_tracked",),
    ],
    ids=" ".join,
)
def test_other_designs_keep_running_values_too(names: tuple[str, ...]) -> None:
    others = {f"other.{name}": torch.ones(4) for name in names}
    assert kinds(named_layers(others)) == {}
    assert kinds(named_layers(without(nn.Sequential(nn.BatchNorm2d(4))) | others)) == {"0": NormKind.BATCH}


def test_a_running_mean_of_a_matrix_is_no_batch_norm() -> None:
    assert not named_layers({"codes.running_mean": torch.ones(4, 4), "codes.num_batches_tracked": torch.ones(())})


def test_statistics_of_every_pixel_are_those_of_observations() -> None:
    assert not named_layers({"pixels.running_mean": torch.ones(8, 8), "pixels.running_var": torch.ones(8, 8)})


@pytest.mark.parametrize(
    "name", ["normalizer", "weight_norm", "spectral_norm", "normals", "normalized_coord", "normal_0", "enormous"]
)
def test_names_that_only_look_like_normalisation(name: str) -> None:
    assert not named_layers({f"{name}.weight": torch.ones(4), f"{name}.bias": torch.ones(4)})


@pytest.mark.parametrize(
    "name", ["norm", "norm1", "q_norm", "norm_out", "attn.prenorm", "norms.0", "norm1d", "normalization"]
)
def test_names_that_say_normalisation(name: str) -> None:
    assert kinds(named_layers({f"{name}.weight": torch.ones(4), f"{name}.bias": torch.ones(4)})) == {name: None}


def test_a_place_beyond_all_numbers_is_no_place() -> None:
    assert not named_layers({f"f.{'9' * 5000}.weight": torch.ones(4), f"f.{'9' * 5000}.bias": torch.ones(4)})


def convolution(*, bias: bool, channels: int = 4) -> nn.Module:
    return nn.Conv2d(3, channels, 1, bias=bias)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Sequential(convolution(bias=False), nn.GroupNorm(2, 4)), {"1": None}),
        (nn.Sequential(convolution(bias=False), nn.BatchNorm2d(4, track_running_stats=False)), {"1": None}),
        (nn.Sequential(convolution(bias=True), nn.GroupNorm(2, 4)), {}),
        (nn.Sequential(convolution(bias=False, channels=8), nn.GroupNorm(2, 4)), {}),
        (nn.Sequential(convolution(bias=False), nn.Sequential(nn.GroupNorm(2, 4))), {}),
        (nn.ModuleDict({"a": convolution(bias=False), "b": nn.GroupNorm(2, 4)}), {}),
        (nn.Sequential(convolution(bias=False), nn.PReLU(4)), {}),
        (nn.Sequential(nn.Linear(3, 4, bias=False), nn.LayerNorm(4)), {}),
    ],
    ids=["GroupNorm", "BatchNorm", "with a bias", "other channels", "elsewhere", "named", "PReLU", "Linear"],
)
def test_behind_a_convolution_without_a_bias_no_name_is_needed(model: nn.Module, found: dict[str, None]) -> None:
    assert kinds(named_layers(dict(model.state_dict()))) == found


def test_the_order_of_a_file_is_of_no_account() -> None:
    layers = [nn.Identity() for _ in range(9)]
    weights = nn.Sequential(*layers, convolution(bias=False), nn.GroupNorm(2, 4)).state_dict()
    assert kinds(named_layers({name: weights[name] for name in sorted(weights)})) == {"10": None}


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
    plain = dict(model.state_dict())
    assert not named_layers(plain)  # the same weights without metadata tell nothing


def test_torch_is_not_imported() -> None:
    code = "import sys, bnlint.norms.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
