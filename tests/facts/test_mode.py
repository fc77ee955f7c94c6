"""BatchNorm that normalises by the batch whatever the mode, through each front end that can see it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from bnlint.facts.mode import ignores_eval, learns_statistics, mode_facts
from bnlint.facts.unknown import UNKNOWN
from bnlint.norms.kinds import NormKind
from tests.models import ConvNet, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)


class AlwaysTheBatch(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, 0.1, self.eps)


class Model(nn.Module):
    """`always` ignores the mode, `bn` obeys it. Input (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.always = AlwaysTheBatch(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.always(self.conv(self.bn(x)))


def ignoring(target: object, **arguments: object) -> dict[str, object]:
    return {record.layer: record.ignores_eval for record in bnlint.inspect(target, **arguments).norms}  # type: ignore[arg-type]


def of_mode(codes: object) -> list[str]:
    return [finding.code for finding in codes.findings if finding.code in ("BN101", "BN102", "BN103", "BN104", "BN105")]  # type: ignore[attr-defined]


def test_a_live_model_in_eval_mode() -> None:
    model = with_plausible_statistics(Model()).eval()
    assert ignoring(model, inputs=(images(),)) == {"bn": False, "always": True}
    report = bnlint.check(model, inputs=(images(),))
    assert of_mode(report) == ["BN103"]
    assert next(finding for finding in report.findings if finding.code == "BN103").layers == ("always",)


def test_in_training_mode_there_is_nothing_to_ignore() -> None:
    model = with_plausible_statistics(Model()).train()
    assert ignoring(model, inputs=(images(),)) == {"bn": False, "always": False}
    assert of_mode(bnlint.check(model, inputs=(images(),))) == ["BN101"]


@pytest.mark.parametrize("decomposed", [False, True], ids=["as-exported", "decomposed"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_an_exported_program_has_its_mode_for_good(training: bool, decomposed: bool) -> None:
    program = torch.export.export(with_plausible_statistics(ConvNet()).train(training), (images(),))
    if decomposed:
        program = program.run_decompositions()
    table = bnlint.inspect(program)
    assert [record.ignores_eval for record in table.norms] == [training, training]
    assert [record.training for record in table.norms] == [None, None]
    assert table.model.training is None
    report = bnlint.check(program)
    assert of_mode(report) == (["BN103"] if training else [])
    assert not {item.code for item in report.not_run} & {"BN101", "BN102", "BN103"}


def test_a_program_exported_without_statistics_is_reported_once() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    assert of_mode(bnlint.check(torch.export.export(net, (images(),)))) == ["BN104"]


def test_a_saved_program(tmp_path: Path) -> None:
    model = with_plausible_statistics(Model()).eval()
    torch.save(model, tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt", trust=True, inputs=("2x3x8x8",))
    assert of_mode(report) == ["BN103"]


def test_a_state_dict_does_not_tell(tmp_path: Path) -> None:
    torch.save(with_plausible_statistics(Model()).state_dict(), tmp_path / "weights.pt")
    report = bnlint.check(tmp_path / "weights.pt")
    assert "BN103" in {item.code for item in report.not_run}
    assert of_mode(report) == []


@pytest.mark.parametrize("training", [False, True], ids=["eval", "training"])
def test_a_traced_torchscript_program(training: bool) -> None:
    model = with_plausible_statistics(ConvNet()).train(training)
    traced = torch.jit.trace(model, images(), check_trace=False).eval()
    assert ignoring(traced) == {"bn1": training, "bn2": training}
    assert of_mode(bnlint.check(traced)) == (["BN103"] if training else [])


def test_a_scripted_program_obeys_its_flag() -> None:
    scripted = torch.jit.script(with_plausible_statistics(ConvNet()).train())
    assert of_mode(bnlint.check(scripted.eval())) == []
    assert of_mode(bnlint.check(scripted.train())) == ["BN101"]


def test_a_traced_layer_inside_a_python_model() -> None:
    layer = with_plausible_statistics(nn.BatchNorm2d(3)).train()
    model = nn.Sequential(nn.Conv2d(3, 3, 1), torch.jit.trace(layer, images(), check_trace=False)).eval()
    report = bnlint.check(model, inputs=(images(),))
    assert of_mode(report) == ["BN103"]


@pytest.mark.parametrize(
    ("kind", "uses", "training", "expected"),
    [
        (NormKind.BATCH, True, False, True),
        (NormKind.BATCH, True, True, False),
        (NormKind.BATCH, False, False, False),
        (NormKind.BATCH, True, None, True),
        (NormKind.BATCH, UNKNOWN, False, UNKNOWN),
        (NormKind.BATCH, True, UNKNOWN, UNKNOWN),
        (NormKind.INSTANCE, True, False, False),
    ],
)
def test_what_is_known_decides(kind: NormKind, uses: bool, training: bool | None, expected: object) -> None:
    assert ignores_eval(kind, uses, training) is expected


@pytest.mark.parametrize(
    ("kind", "frozen", "training", "model_training", "expected"),
    [
        (NormKind.BATCH, False, True, True, True),
        (NormKind.BATCH, False, False, False, True),
        (NormKind.BATCH, False, False, True, False),  # held in eval mode
        (NormKind.BATCH, False, False, UNKNOWN, True),
        (NormKind.BATCH, True, True, True, False),
        (NormKind.INSTANCE, False, True, True, False),
    ],
)
def test_which_layers_learn_statistics(
    kind: NormKind, frozen: bool, training: bool, model_training: object, expected: bool
) -> None:
    found = learns_statistics(kind, frozen=frozen, training=training, model_training=model_training)  # type: ignore[arg-type]
    assert found is expected


def test_a_mode_that_bnlint_chose_is_no_fact() -> None:
    assert mode_facts(NormKind.BATCH, True, UNKNOWN, True) == {}
    facts = mode_facts(NormKind.BATCH, False, False, None)
    assert facts == {
        "training": False, "model_training": False, "uses_batch_statistics": UNKNOWN, "ignores_eval": UNKNOWN
    }  # fmt: skip


class Frozen(nn.BatchNorm2d):
    """Keeps its scale and shift in buffers, as timm's and torchvision's frozen classes do."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("shift", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.scale, self.shift, False, 0.1, self.eps)


def test_what_an_exported_program_would_learn() -> None:
    def learns(model: nn.Module) -> list[object]:
        program = torch.export.export(with_plausible_statistics(model), (images(),))
        return [record.learns_statistics for record in bnlint.inspect(program).norms]

    assert learns(ConvNet().eval()) == [True, True]
    assert learns(ConvNet().train()) == [True, True]
    held = ConvNet().train()
    held.bn1.eval()
    assert learns(held) == [UNKNOWN, True]  # held, or the other forgotten in training mode
    assert learns(nn.Sequential(nn.Conv2d(3, 3, 1), Frozen(3)).eval()) == [False]
