"""Exported programs come in as their own graph, with the same layers, roles, numbers and lines as a recorded one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.trace import How
from tests.models import ConvNet, NormAfterActivation, PooledBranch, RecurrentTokens, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SHARED = (
    "layer", "kind", "fed_by", "feeds", "calls", "values_per_sample", "values_per_channel", "input_shape",
    "channel_axis", "sequence_evidence", "uses_batch_statistics", "momentum", "eps", "channels", "affine",
    "has_running_statistics", "batches_counted", "statistics_at_initial_values", "functional",
)  # fmt: skip


class Twice(nn.Module):
    """One layer called twice, the second time after an activation and beside a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.bn(self.conv(x)))
        return torch.cat([self.bn(x), x], 1).flatten(2)


class OtherKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.group, self.instance = nn.LayerNorm(8), nn.GroupNorm(3, 3), nn.InstanceNorm2d(3, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.instance(torch.relu(self.group(self.layer(x))))


MODELS = [
    (ConvNet(), images()),
    (NormAfterActivation(), images()),
    (PooledBranch(), images()),
    (RecurrentTokens(), torch.randn(2, 5, 6)),
    (Twice(), images()),
    (OtherKinds(), images()),
]


def facts(table: FactTable, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: getattr(record, name) for name in names} for record in table.norms]


@pytest.mark.parametrize(("model", "x"), MODELS, ids=[type(model).__name__ for model, _ in MODELS])
def test_an_exported_program_tells_the_same_facts(model: nn.Module, x: Tensor) -> None:
    with_plausible_statistics(model).eval()
    program = torch.export.export(model, (x,))
    names = tuple(name for name in SHARED if not isinstance(model, OtherKinds) or name not in ("momentum", "channels"))
    recorded = bnlint.inspect(model, inputs=(x,), batch_size=3)
    assert facts(bnlint.inspect(program, batch_size=3), names) == facts(recorded, names)
    assert len(recorded.norms) >= 1


def test_calls_lie_on_the_same_lines() -> None:
    model = ConvNet().eval()
    recorded = bnlint.trace(model, (images(),))
    exported = bnlint.trace(torch.export.export(model, (images(),)))
    lines = [call.location.line for call in recorded.norm_calls if call.location]
    assert len(lines) == 2
    assert [call.location.line for call in exported.norm_calls if call.location] == lines
    assert [call.location.file for call in exported.norm_calls if call.location] == ["tests/models.py"] * 2


def test_how_and_the_inputs_are_told() -> None:
    trace = bnlint.trace(torch.export.export(ConvNet().eval(), (images(),)))
    trace.graph.lint()
    assert (trace.how, trace.reason) == (How.EXPORTED, "")
    assert trace.inputs == "2x3x8x8:float32"
    assert trace.batch_size == 2


@pytest.mark.parametrize("decomposed", [False, True], ids=["as-exported", "decomposed"])
def test_training_mode_baked_into_a_program_is_seen(decomposed: bool) -> None:
    program = torch.export.export(ConvNet().train(), (images(),))
    if decomposed:
        program = program.run_decompositions()
    calls = bnlint.trace(program).norm_calls
    assert [(call.layer, call.uses_batch_statistics) for call in calls] == [("bn1", True), ("bn2", True)]


def test_a_decomposed_program_in_eval_mode_keeps_its_layers() -> None:
    model = with_plausible_statistics(ConvNet()).eval()
    table = bnlint.inspect(torch.export.export(model, (images(),)).run_decompositions())
    assert [(record.layer, record.uses_batch_statistics) for record in table.norms] == [("bn1", False), ("bn2", False)]
    assert [record.fed_by for record in table.norms] == [{"convolution"}, {"convolution"}]
    assert [record.feeds for record in table.norms] == [{"activation"}, {"activation"}]


class Instances(nn.Module):
    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4, **options)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(F.instance_norm(self.norm(self.conv(x))))


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("options", [{}, {"affine": True}, {"affine": True, "track_running_stats": True}], ids=str)
def test_a_decomposed_instance_norm_is_no_batch_norm(options: dict[str, bool], samples: int, tmp_path: Path) -> None:
    """Core operators have none: torch writes a BatchNorm of one sample, which trains where it keeps no statistics."""
    model = with_plausible_statistics(Instances(**options)).eval()
    program = torch.export.export(model, (images()[:samples],))
    decomposed = program.run_decompositions()
    torch.export.save(decomposed, tmp_path / "model.pt2")
    expected = bnlint.inspect(program)
    for target in (decomposed, tmp_path / "model.pt2"):
        table = bnlint.inspect(target)
        assert [record.kind for record in table.norms] == ["instance_norm", "instance_norm"]
        assert facts(table, SHARED) == facts(expected, SHARED)
        assert {item.code for item in bnlint.check(target).findings} == {
            item.code for item in bnlint.check(program).findings
        }


def test_dynamic_axes_have_the_sizes_of_the_example() -> None:
    model = PooledBranch().eval()
    sizes = {0: torch.export.Dim("batch", min=1, max=64), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    dynamic = torch.export.export(model, (images(),), dynamic_shapes={"images": sizes})
    trace = bnlint.trace(dynamic)
    assert (trace.inputs, trace.batch_size) == ("2x3x8x8:float32", 2)
    static = torch.export.export(model, (images(),))
    assert facts(bnlint.inspect(dynamic, batch_size=4), SHARED) == facts(bnlint.inspect(static, batch_size=4), SHARED)


def test_a_size_that_depends_on_values_is_unknown() -> None:
    class KeepsPositive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(3)

        def forward(self, x: Tensor) -> Tensor:
            kept = x[x.sum(1) > 0]
            torch._check(kept.shape[0] > 1)
            return self.norm(kept)

    table = bnlint.inspect(torch.export.export(KeepsPositive().eval(), (torch.randn(4, 3),)), batch_size=4)
    assert [record.layer for record in table.norms] == ["norm"]
    assert table.norms[0].input_shape is UNKNOWN


def test_the_rules_run_on_an_exported_program() -> None:
    program = torch.export.export(NormAfterActivation().eval(), (images(),))
    found = {finding.code: finding.layers for finding in bnlint.check(program).findings}
    assert found["BN201"] == ("bn",)
    assert found["BN501"] == ("bn",)


def test_the_program_is_not_changed() -> None:
    program = torch.export.export(ConvNet().eval(), (images(),))
    before = str(program), {name: tensor.clone() for name, tensor in program.state_dict.items()}
    bnlint.check(program)
    assert str(program) == before[0]
    assert all(torch.equal(program.state_dict[name], tensor) for name, tensor in before[1].items())
