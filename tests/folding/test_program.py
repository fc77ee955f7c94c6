"""An exported program folds as the model that it was made from, and stays the program that it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

import bnlint
import tests.torchvision_ops  # noqa: F401 - before timm
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.facts.unknown import UNKNOWN
from bnlint.folding.fold import fold
from bnlint.folding.program import export_folded, fold_program, plan_program
from tests.folding.proof import Chain, Model, awkward, images, relative_error

IMAGES = images(2, 3, 8, 8)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


def chain() -> nn.Module:
    return Chain(
        conv1=nn.Conv2d(3, 4, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(4), relu=nn.ReLU(inplace=True),
        conv2=nn.Conv2d(4, 6, 3, padding="same", dilation=2, groups=2), bn2=nn.BatchNorm2d(6),
    )  # fmt: skip


MODELS: dict[str, Callable[[], nn.Module]] = {
    "chain": chain,
    "an argument called input": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
    "transposed": lambda: Chain(
        conv=nn.ConvTranspose2d(3, 6, 3, stride=2, output_padding=1, groups=3), bn=nn.BatchNorm2d(6)
    ),
    "constants": lambda: Model(
        lambda m, x: m.bn(m.conv(x)) * torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1),
        conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4),
    ),
    "linear": lambda: Chain(flat=nn.Flatten(), fc=nn.Linear(192, 5, bias=False), bn=nn.BatchNorm1d(5)),
    "linear with bias": lambda: Chain(flat=nn.Flatten(), fc=nn.Linear(192, 5), bn=nn.BatchNorm1d(5)),
    "downstream": lambda: Chain(bn=nn.BatchNorm2d(3), conv=nn.Conv2d(3, 4, 1)),
    "no affine": lambda: Chain(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4, affine=False)),
    "reshape_as": lambda: Model(
        lambda m, x: m.bn((y := m.fc(x.flatten(2).transpose(1, 2))).flatten(0, 1)).reshape_as(y),
        fc=nn.Linear(3, 4), bn=nn.BatchNorm1d(4),
    ),
}  # fmt: skip


def exported(model: nn.Module, dialect: str, **how: Any) -> ExportedProgram:
    program = torch.export.export(model, (IMAGES,), **how)
    return program.run_decompositions() if dialect == "ATEN" else program


def operators(program: ExportedProgram) -> set[str]:
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


def has_norm(program: ExportedProgram) -> bool:
    return any("batch_norm" in name for name in operators(program))


def again(program: ExportedProgram) -> ExportedProgram:
    """The program after a round trip through a file."""
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    return torch.export.load(stream)


def difference(model: nn.Module, program: ExportedProgram, inputs: Tensor = IMAGES) -> float:
    with torch.no_grad():
        return relative_error([model(inputs.clone()).double()], [program.module()(inputs.clone()).double()])


NOT_IN_CORE = ("linear", "reshape_as")
"""Core operators make matrix products of these: without a bias, there is no place for the shift."""

CASES = [(name, "TRAINING") for name in MODELS] + [(name, "ATEN") for name in MODELS if name not in NOT_IN_CORE]


@pytest.mark.parametrize(("name", "dialect"), CASES)
def test_a_program_folds_as_its_model_does(name: str, dialect: str) -> None:
    model = awkward(MODELS[name]())
    program = exported(model, dialect)
    done = fold_program(program)
    assert done.result.verified
    assert done.result.kept == ()
    assert [item.layer for item in done.result.folds] == [item.layer for item in fold(model, (IMAGES,)).folds]
    assert not has_norm(done.program)
    assert done.program.dialect == dialect
    assert difference(model, again(done.program)) < 2e-5
    assert not any("bn" in name for name in done.program.state_dict)


@pytest.mark.parametrize(("name", "dialect"), CASES)
def test_the_plan_of_a_program_is_that_of_its_model(name: str, dialect: str) -> None:
    model = awkward(MODELS[name]()).eval()
    planned, expected = plan_program(exported(model, dialect)), bnlint.plan(model, inputs=IMAGES)
    assert [(fold.layer, fold.into) for fold in planned.folds] == [(fold.layer, fold.into) for fold in expected.folds]
    assert {kept.layer for kept in planned.kept} == {kept.layer for kept in expected.kept}


def test_a_program_in_training_mode_decides_that_nothing_can_be_folded() -> None:
    training = exported(awkward(chain()).train(), "TRAINING")
    found = {record.layer: (record.foldable, record.fold_obstacle) for record in bnlint.inspect(training).norms}
    assert found == dict.fromkeys(("bn1", "bn2"), (False, "the program was exported in training mode"))
    report = bnlint.check(training, profile="deploy")
    assert {item.code for item in report.findings} == {"BN103"}
    assert "BN601" not in {item.code for item in report.not_run}


def test_the_facts_of_a_program_that_cannot_be_planned_are_unknown() -> None:
    program = exported(awkward(chain()).eval(), "TRAINING")
    program.example_inputs = None
    assert {record.foldable for record in bnlint.inspect(program).norms} == {UNKNOWN}


def test_the_original_is_untouched() -> None:
    model = awkward(chain())
    program = exported(model, "TRAINING")
    graph, tensors = str(program.graph), {name: tensor.clone() for name, tensor in program.state_dict.items()}
    signature = str(program.graph_signature)
    fold_program(program)
    assert str(program.graph) == graph
    assert str(program.graph_signature) == signature
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in program.state_dict.items())
    assert difference(model, program) == 0


@pytest.mark.parametrize("dialect", ["TRAINING", "ATEN"])
def test_dynamic_shapes_stay(dialect: str) -> None:
    model = awkward(chain())
    program = exported(model, dialect, dynamic_shapes=({0: Dim("batch", min=1, max=16), 2: Dim("height", max=99)},))
    done = fold_program(program)
    assert str(done.program.range_constraints) == str(program.range_constraints)
    assert difference(model, again(done.program), images(5, 3, 20, 8)) < 2e-5


def test_an_output_that_was_a_batch_norm_is_still_an_output() -> None:
    program = exported(awkward(chain()), "TRAINING")
    outputs = [specification.arg.name for specification in fold_program(program).program.graph_signature.output_specs]
    assert outputs == ["conv2d_1"]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_shared_convolution(stride: int) -> None:
    """Both calls agree or differ, in one program in which they are two operators with one weight."""

    def compute(m: nn.Module, x: Tensor) -> Tensor:
        return m.bn(m.conv(x)) + F.conv2d(x, m.conv.weight, stride=stride).mean((2, 3), keepdim=True)

    model = awkward(Model(compute, conv=nn.Conv2d(3, 4, 1, bias=False), bn=nn.BatchNorm2d(4)))
    done = fold_program(exported(model, "TRAINING"))
    assert [item.layer for item in done.result.kept] == ["bn"]
    assert difference(model, done.program) < 2e-5


def test_a_computed_weight_stays_an_operator() -> None:
    model = awkward(
        Model(
            lambda m, x: m.bn(F.conv2d(x, m.conv.weight / m.conv.weight.norm())),
            conv=nn.Conv2d(3, 4, 1, bias=False), bn=nn.BatchNorm2d(4),
        )
    )  # fmt: skip
    done = fold_program(exported(model, "TRAINING"))
    assert [item.layer for item in done.result.kept] == ["bn"]
    assert has_norm(done.program)
    assert difference(model, done.program) < 2e-5


def test_computed_statistics_are_kept_with_the_reason() -> None:
    model = awkward(
        Model(
            lambda m, x: F.batch_norm(m.conv(x), m.bn.running_mean, m.bn.running_var + 1),
            conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4),
        )
    )  # fmt: skip
    done = fold_program(exported(model, "TRAINING"))
    assert [(item.layer, item.reason) for item in done.result.kept] == [
        ("bn", "the program computes its statistics or its affine")
    ]


class Named(nn.Module):
    """Calls a function with tensors of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.mean, self.scale = nn.Buffer(torch.rand(4)), nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.conv(x), self.mean, self.mean + 1, self.scale, self.mean)


class Within(nn.Module):
    """One BatchNorm in a graph of its own, and one outside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.inner = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.last, self.outer = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.inner(self.conv(x))
        return self.outer(self.last(x))


STAYING: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "no statistics": (
        lambda: Chain(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4, track_running_stats=False)),
        "bn", "it keeps no running statistics",
    ),
    "the model itself": (lambda: nn.BatchNorm2d(3), "", "its statistics and its affine have other names"),
    "in a function": (Named, "", "the program computes its statistics or its affine"),
}  # fmt: skip


@pytest.mark.parametrize("dialect", ["TRAINING", "ATEN"])
@pytest.mark.parametrize("name", STAYING)
def test_what_stays_is_named_as_the_facts_name_it(name: str, dialect: str) -> None:
    make, layer, reason = STAYING[name]
    program = exported(awkward(make()).eval(), dialect)
    (kept,) = fold_program(program).result.kept
    assert kept.layer == layer
    assert kept.reason.startswith(reason)
    (record,) = bnlint.inspect(program).norms
    assert (record.layer, record.foldable, record.fold_obstacle) == (layer, False, kept.cause)


def test_a_batch_norm_in_a_graph_within_the_graph_is_named() -> None:
    model = awkward(Within())
    done = fold_program(exported(model, "TRAINING"))
    assert [item.layer for item in done.result.folds] == ["outer"]
    assert [(item.layer, "`torch.no_grad()`" in item.reason) for item in done.result.kept] == [("inner", True)]
    assert difference(model, done.program) < 2e-5
    found = {record.layer: record.foldable for record in bnlint.inspect(exported(model, "TRAINING")).norms}
    assert found == {"inner": False, "outer": True}
    decomposed = fold_program(exported(model, "ATEN"))
    assert [item.layer for item in decomposed.result.folds] == ["inner", "outer"]


def test_a_decomposed_instance_norm_is_no_business_of_folding() -> None:
    model = Chain(conv=nn.Conv2d(3, 4, 1), norm=nn.InstanceNorm2d(4, affine=True, track_running_stats=True))
    done = fold_program(exported(awkward(model), "ATEN"))
    assert (done.result.folds, done.result.kept) == ((), ())


def test_a_program_of_a_model_in_training_mode() -> None:
    with pytest.raises(UsageError, match="exported in training mode"):
        fold_program(torch.export.export(chain().train(), (IMAGES,)))


def test_a_program_without_example_inputs() -> None:
    program = exported(awkward(chain()), "TRAINING")
    program._example_inputs = None
    with pytest.raises(UsageError, match="no example inputs"):
        fold_program(program)
    assert fold_program(program, ("2x3x8x8",)).result.verified
    assert fold_program(program, verify_inputs=(IMAGES,)).result.verified


def test_statistics_that_no_batch_has_updated() -> None:
    program = exported(chain().eval(), "TRAINING")
    with pytest.raises(UsageError, match="no batch has updated"):
        fold_program(program)
    assert fold_program(program, force=True).result.verified


def test_a_wrong_edit_is_found_by_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from bnlint.folding import program_edit

    monkeypatch.setattr(program_edit._Edit, "store", lambda *_: None)  # the weights stay, the BatchNorms go
    done = fold_program(exported(awkward(chain()), "TRAINING"))
    assert not done.result.verified
    assert done.result.max_error > 0.1  # type: ignore[operator]


def test_a_folded_module_is_exported_with_a_free_batch() -> None:
    model = awkward(chain())
    done = export_folded(model, fold(model, (IMAGES,)))
    assert done.result.verified
    assert done.notes == ("Exported for 2x3x8x8:float32, any batch size.",)
    assert not has_norm(done.program)
    assert difference(model, again(done.program), images(5, 3, 8, 8)) < 2e-5


def test_a_module_that_cannot_be_exported_is_one_sentence() -> None:
    model = awkward(Model(lambda m, x: m.bn(m.conv(x)) * (1 if x.sum() > 0 else 2), conv=nn.Conv2d(3, 4, 1),
                          bn=nn.BatchNorm2d(4)))  # fmt: skip
    with pytest.raises(NotAnalysedError, match=r"cannot be exported: .*\.safetensors"):
        export_folded(model, fold(model, (IMAGES,)))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_byobnet"])
def test_programs_of_timm(name: str) -> None:
    timm = pytest.importorskip("timm")
    model = awkward(timm.create_model(name))
    inputs = images(2, 3, 64, 64)
    program = torch.export.export(model, (inputs,))
    done = fold_program(program)
    assert done.result.kept == ()
    assert not has_norm(done.program)
    assert difference(model, done.program, inputs) < 1e-4
