"""The code in a TorchScript archive, parsed and never run: classes, constants and normalisation calls."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bnlint.artifacts.names import joined
from bnlint.norms.operators import CANONICAL, FUNCTIONS, MODES, OPERATORS
from bnlint.norms.tensors import COUNTER, STATISTICS

Scalar = bool | int | float | str | None
Constant = Scalar | tuple[Scalar, ...]

PARSED_AS: Final = "<TorchScript>"
"""The name of the file for the parser."""

LIBRARY: Final = "__torch__.torch.nn.functional."
"""Where the functions of `torch.nn.functional` stand in an archive, with arguments in their own order."""


@dataclass(frozen=True)
class CodeCall:
    """A call of a normalisation operator or function.

    Attributes:
        operator: Such as `batch_norm`.
        arguments: Constant arguments by name; those that the code computes are absent.
        constants: Arguments that are tensors of `constants.pkl`, by name.
        offset: Where in its file the call stands, in bytes.
        statistics: The attribute that its running statistics are read from, relative to the class, as
            `bn.running_mean`; empty where it is given none, `None` where the code does not tell.
        mode: The attribute that its training flag is read from, in the same way; `None` where the code does not tell.
    """

    operator: str
    arguments: Mapping[str, Constant]
    constants: Mapping[str, int]
    offset: int
    statistics: str | None = ""
    mode: str | None = None


@dataclass
class CodeUnit:
    """A function, or all methods of a class.

    Attributes:
        file: The member of the archive that it stands in.
        is_module: Whether it is a class of modules.
        parameters: Names of the parameters of a class.
        constants: Constant attributes of a class.
        sets_state: Whether a class has code that runs when the archive is loaded.
        calls: Its normalisation calls.
        used: Dotted names of other code that it mentions.
        children: For each child module that it calls, by relative path, where the first call stands, in bytes.
    """

    file: str
    is_module: bool = False
    parameters: frozenset[str] = frozenset()
    constants: dict[str, Constant] = field(default_factory=dict)
    sets_state: bool = False
    calls: list[CodeCall] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    children: dict[str, int] = field(default_factory=dict)


def parse_code(source: bytes, file: str, module: str) -> dict[str, CodeUnit]:
    """Parse one file of code.

    Args:
        source: The code.
        file: Its name in the archive.
        module: The dotted name that stands before the names in it, such as `__torch__.torch.nn.modules.batchnorm`.

    Returns:
        Its classes and functions by dotted name.

    Raises:
        ValueError: The code is not what torch writes.
    """
    try:
        # As text, for which no comment can name an encoding to be imported; warnings would look for the file.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.decode(), PARSED_AS)
        return _units(tree, source, file, module)
    except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError) as error:
        raise ValueError(f"the code in `{file}` cannot be parsed") from error


def _units(tree: ast.Module, source: bytes, file: str, module: str) -> dict[str, CodeUnit]:
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    units: dict[str, CodeUnit] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            units[f"{module}.{node.name}"] = _class(node, file, starts)
        elif isinstance(node, ast.FunctionDef):
            unit = CodeUnit(file)
            _Body(unit, starts).visit(node)
            units[f"{module}.{node.name}"] = unit
    return units


def _class(node: ast.ClassDef, file: str, starts: list[int]) -> CodeUnit:
    unit = CodeUnit(file, is_module=[_dotted(base) for base in node.bases] == ["Module"])
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            unit.sets_state |= item.name == "__setstate__"
            _Body(unit, starts).visit(item)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            value = _constant(item.value)
            if value is not _UNKNOWN:
                unit.constants[item.target.id] = value
        elif isinstance(item, ast.Assign) and [_dotted(target) for target in item.targets] == ["__parameters__"]:
            names = _constant(item.value)
            unit.parameters = frozenset(map(str, names)) if isinstance(names, tuple) else frozenset()
    return unit


class _Body(ast.NodeVisitor):
    """Collects from one function; torch writes each name of a value once, before it is used."""

    def __init__(self, unit: CodeUnit, starts: list[int]) -> None:
        self._unit = unit
        self._starts = starts
        self._functions: dict[str, str] = {}
        self._attributes: dict[str, str] = {"self": ""}
        self._nothing: set[str] = set()
        self._counted = ""

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self._bind(node.targets[0].id, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and node.value is not None:
            self._bind(node.target.id, node.value)
        self.generic_visit(node)

    def _bind(self, name: str, value: ast.expr) -> None:
        dotted, path = _dotted(value), self._path(value)
        if dotted.startswith("__torch__."):
            self._functions[name] = dotted
        if path is not None:
            self._attributes[name] = path
        elif self._is_nothing(value):
            self._nothing.add(name)

    def visit_Call(self, node: ast.Call) -> None:
        self._count(node)
        self._call(node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = _dotted(node)
        if dotted.startswith("__torch__."):
            self._unit.used.add(dotted)
            return
        self.generic_visit(node)

    def _call(self, node: ast.Call) -> None:
        offset = self._starts[node.lineno - 1] + node.col_offset
        if isinstance(node.func, ast.Attribute):
            path = self._path(node.func.value)
            if path:
                self._unit.children.setdefault(path, offset)
        name = _dotted(node.func)
        name = self._functions.get(name, name)
        operator = OPERATORS.get(name.removeprefix("torch.")) if name.startswith("torch.") else None
        if name.startswith(LIBRARY):
            operator = FUNCTIONS.get(name.removeprefix(LIBRARY))
        if operator is None:
            return
        arguments: dict[str, Constant] = dict(operator.optional)  # at their defaults they are left out
        constants: dict[str, int] = {}
        words = ((CANONICAL.get(word.arg or "", word.arg or ""), word.value) for word in node.keywords)
        given = [*zip(operator.arguments, node.args, strict=False), *words]
        for argument, item in given:
            value, number = _constant(item), _constant_number(item)
            arguments.pop(argument, None)
            if value is not _UNKNOWN:
                arguments[argument] = value
            if number is not None:
                constants[argument] = number
        values = dict(given)
        flag = next((values[name] for name in MODES if name in values), None)
        mode = None if flag is None else self._path(flag)
        statistics = self._statistics(values)
        if constants.keys() >= set(STATISTICS) and operator.training(arguments) and self._counted:
            statistics, self._counted = f"{self._counted}.{STATISTICS[0]}", ""
        self._unit.calls.append(CodeCall(operator.name, arguments, constants, offset, statistics, mode))

    def _count(self, node: ast.Call) -> None:
        """Note the layer whose batches are counted: in a frozen program its call comes next, its tensors constants."""
        if _dotted(node.func) == "torch.add_" and node.args:
            owner, _, name = (self._path(node.args[0]) or "").rpartition(".")
            if name == COUNTER:
                self._counted = owner

    def _statistics(self, values: Mapping[str, ast.expr]) -> str | None:
        """The attribute that a call reads its running statistics from, as `CodeCall.statistics` has it."""
        given = [values[name] for name in STATISTICS if name in values]
        paths = [path for item in given if (path := self._path(item)) is not None]
        if paths:
            return paths[0]
        told = all(self._is_nothing(item) or _constant_number(item) is not None for item in given)
        return "" if told else None

    def _is_nothing(self, node: ast.expr) -> bool:
        value = _cast(node)
        return _constant(value) is None or (isinstance(value, ast.Name) and value.id in self._nothing)

    def _path(self, node: ast.expr) -> str | None:
        """The path of the attribute that an expression names, relative to the class; `None` for anything else."""
        node = _cast(node)
        if isinstance(node, ast.Name):
            return self._attributes.get(node.id)
        name: Any = None
        if isinstance(node, ast.Attribute):
            owner, name = self._path(node.value), node.attr
        elif isinstance(node, ast.Call) and _dotted(node.func) == "getattr" and len(node.args) == 2:
            owner, name = self._path(node.args[0]), _constant(node.args[1])
        if not isinstance(name, str) or owner is None:
            return None
        return joined(owner, name)


_UNKNOWN: Final[Any] = object()


def _constant(node: ast.expr) -> Any:
    """The value that an expression writes out, or `_UNKNOWN`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float, str, type(None))):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, (int, float)) else _UNKNOWN
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [_constant(item) for item in node.elts]
        flat = all(value is not _UNKNOWN and not isinstance(value, tuple) for value in values)
        return tuple(values) if flat else _UNKNOWN
    return _UNKNOWN


def _cast(node: ast.expr) -> ast.expr:
    """What `unchecked_cast(Tensor, x)` or `annotate(Optional[Tensor], x)` gives a type to; other expressions as is."""
    while isinstance(node, ast.Call) and _dotted(node.func) in ("unchecked_cast", "annotate") and len(node.args) == 2:
        node = node.args[1]
    return node


def _constant_number(node: ast.expr) -> int | None:
    """The 3 of `CONSTANTS.c3`."""
    owner, _, name = _dotted(node).rpartition(".")
    return int(name[1:]) if owner == "CONSTANTS" and name[:1] == "c" and name[1:].isdecimal() else None


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression that is nothing but names; empty for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(names)])
