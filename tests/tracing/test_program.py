"""A program in a file, read without torch's loader, gives the trace and the facts of the live program."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
import tests.torchvision_ops  # noqa: F401 - before torchvision and timm
from bnlint.artifacts.program_archive import read_program
from bnlint.errors import NotAnalysedError
from bnlint.facts import flow
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from bnlint.tracing.kinds import Role
from bnlint.tracing.program import trace_program
from bnlint.tracing.trace import Trace
from tests.artifacts.programs import GRAPH, edited, json_edit
from tests.models import ConvNet, NormAfterActivation, PooledBranch, RecurrentTokens, with_plausible_statistics
from tests.tracing.proof import images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Functional(nn.Module):
    """The training flag is the constant True."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("variance", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.conv(x), self.mean, self.variance, training=True)


class OtherKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.group, self.instance = nn.LayerNorm(8), nn.GroupNorm(3, 3), nn.InstanceNorm2d(3, affine=True)
        self.rms = nn.RMSNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.rms(self.instance(torch.relu(self.group(self.layer(x)))))


class Parts(nn.Module):
    """Calls with several results, arguments that are no tensors, and a block with a graph of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden, self.seen = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(4)
        self.table = torch.arange(4.0).reshape(1, 4, 1, 1)

    def forward(self, x: Tensor, twice: bool, factor: int) -> Tensor:
        with torch.no_grad():
            hidden = self.hidden(self.conv(x))
        first, second = hidden.chunk(2, 1)
        values, _ = first.max(2, keepdim=True)
        return self.seen(values * factor + second.clamp(max=float("inf")) + self.table).to(torch.float64)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.drop, self.norm = nn.LSTM(6, 5, batch_first=True), nn.Dropout(0.3), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.drop(self.lstm(x)[0]).transpose(1, 2))


def resnet() -> nn.Module:
    import torchvision

    return torchvision.models.resnet18()  # type: ignore[no-any-return]


class TwoNames(nn.Module):
    """One BatchNorm under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.layers = nn.ModuleList([self.conv, self.norm])

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


def of_timm(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False)  # type: ignore[no-any-return]

    return make


def exported(make: Callable[[], nn.Module], inputs: tuple[Any, ...], training: bool, **options: Any) -> Any:
    torch.manual_seed(0)
    return torch.export.export(with_plausible_statistics(make()).train(training), inputs, **options)


AXES = {0: torch.export.Dim("batch", min=1, max=64), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}

PROGRAMS: dict[str, Callable[[], Any]] = {
    "convolutions": lambda: exported(ConvNet, (images(),), False),
    "in training mode": lambda: exported(ConvNet, (images(),), True),
    "decomposed, in training mode": lambda: exported(ConvNet, (images(),), True).run_decompositions(),
    "decomposed": lambda: exported(ConvNet, (images(),), False).run_decompositions(),
    "after an activation": lambda: exported(NormAfterActivation, (images(),), False),
    "dynamic axes": lambda: exported(PooledBranch, (images(),), False, dynamic_shapes={"images": AXES}),
    "tokens": lambda: exported(RecurrentTokens, (torch.randn(2, 5, 6),), False),
    "functional": lambda: exported(Functional, (images(),), False),
    "other kinds": lambda: exported(OtherKinds, (images(),), False),
    "a layer under two names": lambda: exported(TwoNames, (images(),), False),
    "a layer under two names, strict": lambda: exported(TwoNames, (images(),), False, strict=True),
    "parts": lambda: exported(Parts, (images(), True, 3), False),
    "recurrent, in training mode": lambda: exported(Recurrent, (torch.randn(2, 7, 6),), True),
    "bfloat16": lambda: exported(lambda: ConvNet().bfloat16(), (images().bfloat16(),), False),
    "resnet18": lambda: exported(resnet, (torch.randn(1, 3, 64, 64),), False),
    "vision transformer": lambda: exported(of_timm("test_vit"), (torch.randn(1, 3, 160, 160),), False),
    "efficientnet": lambda: exported(of_timm("test_efficientnet"), (torch.randn(1, 3, 160, 160),), False),
}


def facts(table: FactTable) -> list[dict[str, Any]]:
    """All facts but the text of source lines, which a file's program does not show."""
    found = []
    for record in (table.model, *table.norms):
        fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
        if fields["location"] not in (None, UNKNOWN):
            fields["location"] = msgspec.structs.replace(fields["location"], code="")
        found.append(fields)
    return found


def without_folding(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is left of the facts of BatchNorms where the program is only read."""
    unread = dict.fromkeys(("foldable", "folds_into", "fold_obstacle"), UNKNOWN)
    return [{**facts, **unread} if facts.get("kind") == "batch_norm" else dict(facts) for facts in found]


def nodes(trace: Trace) -> list[tuple[Any, ...]]:
    return [
        (node.op, node.meta["role"], len(node.all_input_nodes), node.meta.get("attribute"))
        + (("",) if node.op == "get_attr" else (node.name,))
        for node in trace.graph.nodes
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_facts_and_findings_of_a_file_are_those_of_the_live_program(name: str, tmp_path: Path) -> None:
    live = PROGRAMS[name]()
    path = tmp_path / "model.pt2"
    torch.export.save(live, path)
    trace = trace_program(read_program(path, "model.pt2"))
    trace.graph.lint()
    assert nodes(trace) == nodes(bnlint.trace(live))
    expected = facts(bnlint.inspect(live, batch_size=3))
    assert facts(bnlint.inspect(path, batch_size=3)) == without_folding(expected)
    table = bnlint.inspect(path, batch_size=3, trust=True)
    assert facts(table) == expected
    assert table.available == bnlint.inspect(live, batch_size=3).available
    assert len(table.norms) >= 1
    of_file, of_live = bnlint.check(path, batch_size=3, trust=True), bnlint.check(live, batch_size=3)
    assert [(item.code, item.layers) for item in of_file.findings] == [
        (item.code, item.layers) for item in of_live.findings
    ]
    assert of_file.coverage == of_live.coverage


@pytest.mark.parametrize("strict", [False, True])
def test_a_layer_under_two_names_is_one_layer(strict: bool, tmp_path: Path) -> None:
    live = exported(TwoNames, (images(),), False, strict=strict)
    torch.export.save(live, tmp_path / "model.pt2")
    for target in (live, tmp_path / "model.pt2"):
        (record,) = bnlint.inspect(target).norms
        assert record.calls == 1
        report = bnlint.check(target, trust=True, require="BN601")
        assert {item.code for item in report.findings} <= {"BN601", "BN602"}
        assert not report.unanalysed


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    torch.export.save(PROGRAMS["in training mode"](), path)
    return path


def on_nodes(change: Callable[[list[Any]], object]) -> dict[str, Any]:
    return {GRAPH: json_edit(lambda document: change(document["graph_module"]["graph"]["nodes"]))}


def test_training_mode_in_a_file_is_a_finding(file: Path) -> None:
    found = {finding.code: finding for finding in bnlint.check(file).findings}
    assert found["BN103"].layers == ("bn1", "bn2")
    location = found["BN103"].locations[0]
    assert (location.file, location.function) == ("tests/models.py", "forward")


def test_layers_that_only_calls_show_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(PROGRAMS["other kinds"](), path)
    coverage = bnlint.check(path).coverage
    assert (coverage.layers, coverage.layers_called, coverage.calls) == (4, 4, 4)


def test_an_operator_that_is_not_registered_is_unknown_and_nothing_is_imported(file: Path, tmp_path: Path) -> None:
    def change(calls: list[Any]) -> None:
        convolutions = [call for call in calls if "conv2d" in call["target"]]
        convolutions[0]["target"] = "torch.ops.antigravity.conv2d.default"
        convolutions[1]["target"] = "torch.hub.load"

    path = edited(file, tmp_path / "model.pt2", on_nodes(change))
    trace = trace_program(read_program(path, "model.pt2"))
    unknown = [node for node in trace.graph.nodes if node.meta["role"] is Role.UNKNOWN]
    assert [node.name for node in unknown] == ["conv2d", "conv2d_1"]
    assert not trace.complete
    assert "antigravity" not in vars(torch.ops)
    assert "antigravity" not in sys.modules
    records = bnlint.inspect(path).norms
    assert [record.layer for record in records] == ["bn1", "bn2"]
    assert [record.bias_before for record in records] == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    "target", ["torch.ops.load_library", "torch.ops.__class__.mro.default", "_operator.attrgetter", "#evil:op", ""]
)
def test_names_that_are_no_operators_are_unknown(target: str, file: Path, tmp_path: Path) -> None:
    path = edited(file, tmp_path / "model.pt2", on_nodes(lambda calls: calls[0].update(target=target)))
    trace = trace_program(read_program(path, "model.pt2"))
    assert [node.meta["role"] for node in trace.graph.nodes if node.name == "conv2d"] == [Role.UNKNOWN]


def test_no_file_that_a_stack_trace_names_is_opened(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("password = 'hunter2'\n")

    def change(calls: list[Any]) -> None:
        for call in calls:
            call["metadata"]["stack_trace"] = f'File "{secret}", line 1, in forward\n    x'

    report = bnlint.check(edited(file, tmp_path / "model.pt2", on_nodes(change)))
    locations = [location for finding in report.findings for location in finding.locations]
    assert {(location.file, location.line, location.code) for location in locations} == {("secret.py", 1, "")}


def test_lines_of_torch_on_the_machine_of_the_export_are_passed_over(file: Path, tmp_path: Path) -> None:
    def change(calls: list[Any]) -> None:
        for call in calls:
            call["metadata"]["stack_trace"] = (
                'File "/home/her/net.py", line 7, in forward\n    y = self.bn(x)\n'
                'File "/opt/venv/lib/python3.12/site-packages/torch/nn/modules/batchnorm.py", line 1, in forward\n    z'
            )

    trace = trace_program(read_program(edited(file, tmp_path / "model.pt2", on_nodes(change)), "model.pt2"))
    places = [(call.location.file, call.location.line) for call in trace.norm_calls if call.location]
    assert places == [("net.py", 7), ("net.py", 7)]


def test_names_that_are_no_python_are_read(file: Path, tmp_path: Path) -> None:
    def change(text: bytes) -> bytes:
        return text.replace(b'"relu"', b'"\\u001b[31m; import os; \\n"')

    trace = trace_program(read_program(edited(file, tmp_path / "model.pt2", {GRAPH: change}), "model.pt2"))
    trace.graph.lint()
    assert len(trace.norm_calls) == 2
    assert all(node.name.isidentifier() for node in trace.graph.nodes)


def norm(calls: list[Any]) -> Any:
    return next(call for call in calls if "batch_norm" in call["target"])


def test_a_value_with_many_readers_takes_linear_time(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 300

    def change(calls: list[Any]) -> None:
        again = json.dumps(norm(calls))
        for index in range(number):
            name = f"again_{index}"
            calls.append(json.loads(again) | {"name": name, "outputs": [{"as_tensor": {"name": name}}]})

    looks = 0
    carriers = flow._carriers

    def counted(node: Any) -> Any:
        nonlocal looks
        looks += 1
        return carriers(node)

    monkeypatch.setattr(flow, "_carriers", counted)
    table = bnlint.inspect(edited(file, tmp_path / "model.pt2", on_nodes(change)))
    assert len(table.norms) == number + 2
    assert looks < 30 * number


NONSENSE: dict[str, Callable[[list[Any]], object]] = {
    "an epsilon that is a list": lambda calls: norm(calls)["inputs"][7].update(arg={"as_ints": [1]}),
    "a weight that is a text": lambda calls: norm(calls)["inputs"][1].update(arg={"as_string": "weight"}),
    "arguments left out": lambda calls: norm(calls).update(inputs=norm(calls)["inputs"][:1]),
    "no arguments": lambda calls: [call.update(inputs=[]) for call in calls],
    "a kind of argument that is not known": lambda calls: calls[0]["inputs"][0].update(arg={"as_new": 1}),
    "a pool of nothing": lambda calls: calls[-2].update(inputs=[]),
    "a list as the input": lambda calls: norm(calls)["inputs"][0].update(arg={"as_tensors": [{"name": "conv2d"}]}),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_graphs_that_make_no_sense_are_read_or_refused(name: str, file: Path, tmp_path: Path) -> None:
    path = edited(file, tmp_path / "model.pt2", on_nodes(NONSENSE[name]))
    try:
        report = bnlint.check(path)
    except NotAnalysedError as refused:
        cause = refused.cause
    else:
        cause = ""
        assert report.coverage.form == "exported_program"
    assert "contradicts itself" in cause or not cause
