"""YAML read safely, with the line of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bnlint.errors import RuleFileError

Key = str | int
"""A step into a document: a key of a mapping or an index of a list."""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """The safe loader, with the numbers of YAML 1.2: `1e-5` is a number in a rule, not a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class YamlSource:
    """A YAML document and where each part of it stands.

    Attributes:
        name: The file as messages name it.
        data: The document as plain Python data.
        root: The document as YAML nodes, which know their lines.
    """

    name: str
    data: Any
    root: yaml.Node

    def error(self, path: tuple[Key, ...], problem: str, hint: str = "") -> RuleFileError:
        """An error that names the file, the line of a key or value, and the problem."""
        return RuleFileError(f"{self.name}:{self.line(path)}: {problem}", hint)

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


def read_yaml(file: Path, name: str) -> YamlSource:
    """Read one YAML document.

    Args:
        file: The file.
        name: The file as messages name it.

    Raises:
        RuleFileError: If it cannot be read, is not one YAML document, has a key twice, or uses anchors.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RuleFileError(f"{name} cannot be read: {reason}.") from error
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise RuleFileError(f"{name}:1: the file is empty.")
        _refuse_repetition(root, name)
        return YamlSource(name, loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RuleFileError(f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RuleFileError(f"{name} is not valid YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise RuleFileError(f"{name} is nested too deeply.") from error


def _refuse_repetition(root: yaml.Node, name: str) -> None:
    """Refuse a key that stands twice, of which YAML would keep the last, and anchors, which can make a file endless."""
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            raise RuleFileError(
                f"{name}:{node.start_mark.line + 1}: anchors and aliases cannot be used in a rule file."
            )
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        keys: set[str] = set()
        for key, value in node.value:
            if key.value in keys:
                raise RuleFileError(
                    f'{name}:{key.start_mark.line + 1}: the key "{key.value}" stands here a second time.'
                )
            if isinstance(key, yaml.ScalarNode):
                keys.add(key.value)
            nodes.extend((key, value))
