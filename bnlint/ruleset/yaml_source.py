"""YAML read safely, with the line of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bnlint.errors import RuleFileError, UsageError
from bnlint.ruleset.source import Key, Source

_TEXT = "tag:yaml.org,2002:str"
_CONTAINERS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """The safe loader, with the numbers of YAML 1.2: `1e-5` is a number in a rule, not a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class YamlSource(Source):
    """A YAML document and where each part of it stands.

    Attributes:
        root: The document as YAML nodes, which know their lines.
    """

    root: yaml.Node

    def line(self, path: tuple[Key, ...]) -> int:
        """The line, from 1, of the last part of a path that the document has."""
        node, line = self.root, self.root.start_mark.line
        for key in path:
            step = _step(node, key)
            if step is None:
                break
            mark, node = step
            line = mark.line
        return int(line) + 1


def _step(node: yaml.Node, key: Key) -> tuple[yaml.Mark, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((name.start_mark, value) for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark, node.value[key]
    return None


def read_yaml(file: Path, name: str, mistake: type[UsageError] = RuleFileError) -> YamlSource:
    """Read one YAML document.

    Args:
        file: The file.
        name: The file as messages name it.
        mistake: The error to raise.

    Raises:
        UsageError: If it cannot be read, is not one YAML document, has a key twice, or uses anchors.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise mistake(f"{name} cannot be read: {reason}.") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise mistake(f"{name}:1: the file is empty.")
        return YamlSource(name, _Reader(loader, name, mistake).value(root), mistake, root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise mistake(f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise mistake(f"{name} is not valid YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise mistake(f"{name} is nested too deeply.") from error


class _Reader:
    """Turns nodes into values, and refuses what YAML takes in its own way.

    Of a key that stands twice it keeps the last, a key such as `on` or `1` is no text to it, and anchors can make a
    file endless. Most nodes are texts, which need none of the loader's own constructors: half of the time.
    """

    def __init__(self, loader: Any, name: str, mistake: type[UsageError]) -> None:
        self._loader = loader
        self._name = name
        self._mistake = mistake
        self._seen: set[int] = set()

    def value(self, node: yaml.Node) -> Any:
        if id(node) in self._seen:
            raise self._mistake(f"{self._line(node)}: anchors and aliases cannot be used here.")
        self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _TEXT else self._loader.construct_object(node)
        items = isinstance(node, yaml.SequenceNode)
        data: Any = [self.value(item) for item in node.value] if items else self._mapping(node)
        return data if node.tag in _CONTAINERS else self._loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.Node) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                shown = f'"{key.value}"' if isinstance(key, yaml.ScalarNode) else "here"
                problem = f"{self._line(key)}: the key {shown} is not a text for YAML;"
                raise self._mistake(problem, "write it in quotation marks.")
            if key.value in data:
                raise self._mistake(f'{self._line(key)}: the key "{key.value}" stands here a second time.')
            data[key.value] = self.value(value)
        return data

    def _line(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"
