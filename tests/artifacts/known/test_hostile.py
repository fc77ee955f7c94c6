"""Files that look like models of `torch.nn` and want more: none gets it, and each is told why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bnlint
from bnlint.artifacts.known.packages import admitted
from bnlint.artifacts.read import read
from bnlint.errors import UsageError
from tests.artifacts.judge import LIVE, judge
from tests.artifacts.known.pickles import TABLES, Again, Call, Name, module, tensor, write

LINEAR = Name("torch.nn.modules.linear", "Linear")
SEQUENTIAL = Name("torch.nn.modules.container", "Sequential")
IDENTITY = Name("torch.nn.modules.linear", "Identity")


def nested(depth: int) -> Call:
    inner = module(IDENTITY)
    for _ in range(depth):
        inner = module(SEQUENTIAL, _modules={"0": inner})
    return inner


def doubled(depth: int) -> nn.Module:
    inner: nn.Module = nn.BatchNorm2d(3)
    for _ in range(depth):
        inner = nn.Sequential(inner, inner)
    return inner


def partial(function: Any, *arguments: Any) -> Call:
    return Call(Name("functools", "partial"), (function,), (function, arguments, {}, None))


def operator(name: str) -> Call:
    return Call(Name("__builtin__", "getattr"), (Name("torch._C", "_VariableFunctionsClass"), name))


def hostile(canary: Path) -> dict[str, tuple[Any, str]]:
    """Files by what they try, with a part of the sentence that says why they are not made live."""
    system = Call(Name("os", "system"), (f"touch {canary}",))
    activation = {
        "a function that runs files": (Name("torch.hub", "load"), "`torch.hub.load`"),
        "torch.load": (Name("torch", "load"), "`torch.load`"),
        "an operator that writes files": (operator("from_file"), "`torch.from_file`"),
        "os.system": (Name("os", "system"), "`os.system`"),
        "a call": (system, "`activation` holds `os.system`"),
        "a call as a key": ({"a": [{"b": (system,)}]}, "`activation.a.b` holds `os.system`"),
        "a partial call": (partial(Name("os", "system"), f"touch {canary}"), "`os.system`"),
        "a partial call of torch": (partial(Name("torch", "load"), str(canary)), "`torch.load`"),
        "a partial call of a call": (partial(system, "x"), "a partial call"),
        "an internal function": (Name("torch.nn.functional", "importlib"), "`torch.nn.functional.importlib`"),
        "a private function": (Name("torch.nn.functional", "_verify_batch_size"), "_verify_batch_size`"),
        "a function that hooks": (Name("torch.nn.modules.module", "register_module_forward_hook"), "forward_hook`"),
        "an optimiser": (Call(Name("torch.optim.sgd", "SGD"), (), {"state": {}}), "`torch.optim.sgd.SGD`"),
        "a device": (Call(Name("torch", "device"), ("no such device",)), "has no such value"),
        "eval": (Name("__builtin__", "eval"), "`__builtin__.eval`"),
    }
    roots = {
        "a module of Python": (module(Name("torch.nn.modules.linear", "math")), "`torch.nn.modules.linear.math`"),
        "a module behind a module": (module(Name("torch.nn.modules.linear.os", "system")), "does not have"),
        "a method": (module(Name("torch.nn.modules.module", "Module.forward")), "Module.forward`"),
        "two dots": (module(Name("torch.nn.modules..linear", "Linear")), "linear.Linear`"),
        "dunder": (module(Name("torch.nn.modules.linear", "__builtins__")), "__builtins__`"),
        "no class of modules": (module(Name("torch.nn.modules.module", "register_module_forward_hook")), "no class of"),
        "another class": (module(Name("torch.nn.modules.linear", "Parameter")), "linear.Parameter`"),
        "no such class": (module(Name("torch.nn.modules.linear", "Absent")), "does not have"),
        "torch.hub": (module(Name("torch.hub", "load")), "`torch.hub`"),
        "os": (module(Name("os", "system")), "`os`"),
        "another forward": (module(LINEAR, forward=Name("torch.nn.functional", "relu")), "the method `forward`"),
        "another call": (module(LINEAR, _call_impl=operator("relu")), "the method `_call_impl`"),
        "no method": (module(LINEAR, get_submodule=[1]), "a `list` in place of the method `get_submodule`"),
        "a compiled call": (module(LINEAR, _compiled_call_impl=operator("relu")), "the method `_compiled_call_impl`"),
        "a hook": (module(LINEAR, _forward_hooks={0: Name("torch.nn.functional", "relu")}), "a hook"),
        "no table": (module(LINEAR, _forward_hooks=5), "`_forward_hooks` is a `int`"),
        "without a flag": (Call(LINEAR, (), {table: {} for table in TABLES}), "has no `training`"),
        "no flag": (module(LINEAR, training="yes"), "`training` is a `str`"),
        "no parameter": (module(LINEAR, _parameters={"weight": 3}), "a `int` among the `_parameters`"),
        "a function as a module": (module(SEQUENTIAL, _modules={"0": operator("relu")}), "among the `_modules`"),
        "a name with dots": (module(SEQUENTIAL, _modules={"0.1": module(IDENTITY)}), "among the `_modules`"),
        "itself": (module(SEQUENTIAL, _modules={"0": Again()}), "contains itself"),
        "itself further down": (
            module(SEQUENTIAL, _modules={"0": module(SEQUENTIAL, _modules={"0": Again(2)})}),
            "contains itself",
        ),
        "too deep": (nested(70), "nest deeper"),
        "a state that does not fit": (
            module(Name("torch.nn.modules.rnn", "LSTM"), _all_weights=[], mode="LSTM"),
            "do not fit its class",
        ),
        "a tensor beyond its storage": (
            module(LINEAR, _parameters={"weight": tensor(1 << 40, (1 << 40,), (1,))}),
            "larger",
        ),
        "a tensor of one number repeated": (
            module(LINEAR, _parameters={"weight": tensor(4, (1 << 40,), (0,))}),
            "larger than its storage",
        ),
        "a tensor without values": (
            module(LINEAR, _parameters={"weight": tensor(4, (4,), (1,), "1")}),
            "values are not",
        ),
    }
    return roots | {
        f"attribute: {name}": (module(LINEAR, activation=value), words) for name, (value, words) in activation.items()
    }


def test_no_file_gets_more_than_known_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    cases = hostile(canary)
    paths = [write(tmp_path / f"{index}.pt", value, bytes(16)) for index, (value, _) in enumerate(cases.values())]
    for (name, (_, words)), answer in zip(cases.items(), judge([(LIVE, path) for path in paths]), strict=True):
        assert answer.startswith("Not traced: "), name
        assert words in answer, name
        assert answer.endswith("."), name
    assert not canary.exists()


def test_odd_but_harmless_values_are_kept(tmp_path: Path) -> None:
    sizes = {"in_features": 1, "out_features": 1}
    odd_values = {"big": 1 << 63, "pair": (1, [None, 2.5]), "relu": operator("relu"), "_parameters": {"weight": None}}
    odd = module(LINEAR, **sizes, **odd_values)
    empty = module(LINEAR, **sizes, _parameters={"weight": tensor(4, (0, 1 << 61, 1 << 61), (1, 1, 1))})
    paths = write(tmp_path / "odd.pt", odd), write(tmp_path / "empty.pt", empty, bytes(16))
    answers = judge([(LIVE, path) for path in paths])
    assert answers == ["made a Linear of 0 tensors", "made a Linear of 1 tensors"]


@pytest.mark.parametrize("value", [1 << 66, "\ud800"])
def test_values_that_no_model_has_are_data_still(value: Any, tmp_path: Path) -> None:
    artifact = read(
        str(write(tmp_path / "model.pt", module(SEQUENTIAL, _modules={"0": module(LINEAR, inner=[value])})))
    )
    assert artifact.module is None
    assert "`0.inner` holds a value of type" in artifact.not_live
    assert artifact.saved is not None
    assert [saved.path for saved in artifact.saved.modules] == ["", "0"]


@pytest.mark.parametrize(
    "name", ["os", "os.path", "builtins", "__main__", "torch", "torch.hub", "a-b", "a..b", "", ".a"]
)
def test_what_cannot_be_admitted(name: str) -> None:
    with pytest.raises(UsageError):
        admitted(name)


PACKAGE = """
import torch
open({canary!r}, "a").write(__name__)

class Model(torch.nn.Module):
    def __init__(self):
        raise RuntimeError("bnlint must not build it")

    def __reduce__(self):
        raise RuntimeError

    def __new__(cls):
        raise RuntimeError

class Plain:
    def __setstate__(self, state):
        open({canary!r}, "a").write("set")

def run(*arguments):
    open({canary!r}, "a").write("run")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an installed package that notes its import; the current folder has a file of the same name."""
    name = f"nets_{abs(hash(tmp_path)):x}"
    (tmp_path / "site" / name).mkdir(parents=True)
    (tmp_path / "site" / name / "__init__.py").write_text(PACKAGE.format(canary=str(tmp_path / "installed")))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / f"{name}.py").write_text(PACKAGE.format(canary=str(tmp_path / "shadow")))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path / "here")
    return name


def test_a_package_is_imported_only_when_it_is_admitted(package: str, tmp_path: Path) -> None:
    file = str(write(tmp_path / "model.pt", module(Name(package, "Model"))))
    refused = read(file)
    assert refused.module is None
    assert f"`--allow {package}` lets bnlint import that package" in refused.not_live
    assert list(tmp_path.glob("installed")) == []

    made = read(file, allow=package)
    assert type(made.module).__name__ == "Model"
    assert (tmp_path / "installed").read_text() == package
    assert not (tmp_path / "shadow").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Call(Name("PACKAGE", "run"), ("x",)), "what `PACKAGE.run` would return"),
        (
            Call(Name("functools", "partial"), (Name("PACKAGE", "run"),), (Name("PACKAGE", "run"), ("x",), {}, None)),
            "run`",
        ),
        (Call(Name("PACKAGE", "Plain"), (), {"a": 1}), "a pickled `PACKAGE.Plain`"),
        (Call(Name("PACKAGE.__main__", "Plain"), (), {"a": 1}), "`PACKAGE.__main__.Plain`"),
        (Name("PACKAGE", "torch"), "`PACKAGE.torch`"),
    ],
)
def test_an_admitted_package_is_not_at_the_files_disposal(value: Any, words: str, package: str, tmp_path: Path) -> None:
    file = write(tmp_path / "model.pt", _named(module(Name(package, "Model"), value=value), package))
    artifact = read(str(file), allow=package)
    assert artifact.module is None
    assert words.replace("PACKAGE", package) in artifact.not_live
    assert (tmp_path / "installed").read_text() == package  # nothing but the import


def _named(value: Any, package: str) -> Any:
    match value:
        case Name():
            return Name(value.module.replace("PACKAGE", package), value.name)
        case Call():
            return Call(_named(value.maker, package), _named(value.arguments, package), _named(value.state, package))
        case tuple():
            return tuple(_named(item, package) for item in value)
        case dict():
            return {key: _named(item, package) for key, item in value.items()}
    return value


def test_modules_in_places_without_number_are_not_traced(tmp_path: Path) -> None:
    torch.save(doubled(40), tmp_path / "model.pt")
    report = bnlint.check(tmp_path / "model.pt")
    assert report.coverage.kinds == {"batch_norm": 1}
    assert any("holds modules under more than 1000000 paths" in note for note in report.coverage.notes)
