"""YAML read safely, with the line of every key and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from bnlint.errors import RuleFileError, UsageError
from bnlint.ruleset.limits import MOST_DEPTH, MOST_DIGITS, read_text, wrong_number
from bnlint.ruleset.source import Key, Source

_YAML = "tag:yaml.org,2002:"
_TEXT = f"{_YAML}str"
_DATE = f"{_YAML}timestamp"
_NUMBERS = frozenset({f"{_YAML}int", f"{_YAML}float"})
_PLAIN = _NUMBERS | {f"{_YAML}bool", f"{_YAML}null"}
_CONTAINERS = (f"{_YAML}map", f"{_YAML}seq")
_COMPOSED_SAFELY = 1000
"""Levels that are composed on any stack."""
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    """The safe loader, with the numbers of YAML 1.2: `1e-5` is a number in a rule, not a text."""


_Loader.add_implicit_resolver(
    f"{_YAML}float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
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
    """Read one YAML document of settings or of a rule from a file.

    Args:
        file: The file.
        name: The file as messages name it.
        mistake: The error to raise.

    Raises:
        UsageError: If it cannot be read, is not one YAML document, has a key twice, uses anchors, tags or dates, or
            goes beyond what `bnlint.ruleset.limits` allows.
    """
    return parse_yaml(read_text(file, name, mistake), name, mistake)


def parse_yaml(
    text: str, name: str, mistake: type[UsageError] = RuleFileError, *, for_settings: bool = True
) -> YamlSource:
    """Read one YAML document.

    Args:
        text: The document.
        name: What messages call it.
        mistake: The error to raise.
        for_settings: Whether keys have to be texts, and numbers finite.

    Raises:
        UsageError: As for `read_yaml`.
    """
    try:
        _refuse_deep(text, name, mistake)
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise mistake(f"{name}:1: the file is empty.")
        return YamlSource(name, _Reader(loader, name, mistake, for_settings).value(root), mistake, root)
    except yaml.MarkedYAMLError as error:
        # What ends too early is marked on the line behind the last.
        line = min(_line(error.problem_mark or error.context_mark), text.count("\n") + 1)
        raise mistake(f"{name}:{line}: not valid YAML: {error.problem}.") from error
    except ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise mistake(f"{name}:{line}: not valid YAML: {error.reason}.") from error
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise mistake(f"{name}:{line}: not valid YAML: it holds what is no character.") from error


def _refuse_deep(text: str, name: str, mistake: type[UsageError]) -> None:
    """Refuse what nests too deeply before it is composed: the C code that does it calls itself for each level."""
    longest = max(map(len, text.splitlines()), default=0)
    # A mapping and a list may begin in each column, and within each bracket: most texts need no second look.
    if 2 * (longest + text.count("[") + text.count("{")) < _COMPOSED_SAFELY:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise mistake(f"{name}:{_line(event.start_mark)}: nested more than {MOST_DEPTH} levels deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns nodes into values, and refuses what YAML takes in its own way.

    Of a key that stands twice it keeps the last, a key such as `on` or `1` is no text to it, anchors can make a file
    endless, and tags and dates make values that no setting has. Most nodes are texts, which need none of the loader's
    own constructors: half of the time.
    """

    def __init__(self, loader: Any, name: str, mistake: type[UsageError], for_settings: bool) -> None:
        self._loader = loader
        self._name = name
        self._mistake = mistake
        self._for_settings = for_settings
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        if id(node) in self._seen:
            raise self._error(node, "anchors and aliases cannot be used here.")
        self._seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _TEXT else self._scalar(node)
        if depth >= MOST_DEPTH:
            raise self._error(node, f"nested more than {MOST_DEPTH} levels deep.")
        if node.tag not in _CONTAINERS:
            raise self._error(node, f"the tag {_shown(node.tag)} cannot be used here.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        return [self.value(item, depth + 1) for item in node.value]

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        """A number, true, false or null."""
        if node.tag == _DATE:
            raise self._error(node, f'"{node.value}" is a date for YAML;', "write it in quotation marks.")
        if node.tag not in _PLAIN:
            raise self._error(node, f"the tag {_shown(node.tag)} cannot be used here.")
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise self._error(node, f"a number of more than {MOST_DIGITS} digits.")
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError) as error:
            raise self._error(node, f'"{node.value}" is not what its tag {_shown(node.tag)} says.') from error
        wrong = wrong_number(value) if node.tag in _NUMBERS and self._for_settings else ""
        if wrong:
            raise self._error(node, f"{wrong}.")
        return value

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        for name, value in node.value:
            key = self._key(name)
            if key in data:
                raise self._error(name, f'the key "{key}" stands here a second time.')
            data[key] = self.value(value, depth + 1)
        return data

    def _key(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _TEXT:
                return node.value
            if not self._for_settings:
                return self.value(node)
        shown = f'"{node.value}"' if isinstance(node, yaml.ScalarNode) else "here"
        raise self._error(node, f"the key {shown} is not a text for YAML;", "write it in quotation marks.")

    def _error(self, node: yaml.Node, problem: str, hint: str = "") -> UsageError:
        return self._mistake(f"{self._name}:{_line(node.start_mark)}: {problem}", hint)


def _line(mark: Any) -> int:
    """The line, from 1; 1 where there is no mark, which the two kinds of loaders have of a class each."""
    return 1 if mark is None else int(mark.line) + 1


def _shown(tag: str) -> str:
    return f"`{tag.replace(_YAML, '!!')}`"
