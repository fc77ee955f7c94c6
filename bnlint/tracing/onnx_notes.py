"""What torch's exporter notes of each call in an ONNX file: whose it is, and which operator of torch it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bnlint.artifacts.inert.onnx_contents import OnnxNode
from bnlint.norms.kinds import NormKind
from bnlint.norms.names import kind_by_name
from bnlint.norms.operators import OPERATORS
from bnlint.tracing.kinds import Role
from bnlint.tracing.roles import BY_OPERATOR

_TRAINING: Final = frozenset(
    name for name in OPERATORS if OPERATORS[name].kind is NormKind.BATCH and name.endswith("_functional")
)
"""Operators of `torch.export` for BatchNorm in training mode; in eval mode they end in `no_training`."""

_IN_EVAL: Final = re.compile(r"\((%?\w+(, %?\w+)*), False,")

_TEXT: Final = re.compile(r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\"""")
_LIST: Final = re.compile(rf"\[(?:(?:{_TEXT.pattern})(?:, (?:{_TEXT.pattern}))*+)?\]")
_ESCAPED: Final = re.compile(r"\\(.)")

_WHOLE: Final = frozenset({Role.ACTIVATION, Role.NORMALISATION, Role.SOFTMAX, Role.ATTENTION, Role.LINEAR})
"""Roles of an operator of torch that stay those of each of the calls that it became in ONNX."""


def torch_operator(node: OnnxNode) -> str:
    """Bare name of the operator of torch that a call was made from; empty where it is not known."""
    classes = _texts(node, "classes")
    return classes[-1].split(".")[1] if classes and classes[-1].startswith("aten.") else ""


def torch_role(node: OnnxNode) -> Role | None:
    """The role of the operator of torch of which a call is one of several parts, such as GELU; `None` for others."""
    if node.notes.get("rewritten_by"):  # then the notes are of whatever came last
        return None
    role = BY_OPERATOR.get(torch_operator(node))
    return role if role in _WHOLE else None


def norm_layer(node: OnnxNode) -> tuple[str, NormKind] | None:
    """Path and kind of the normalisation layer that a call is a part of; `None` where it is none, or is not known."""
    classes, scopes = _texts(node, "classes"), _texts(node, "scopes")
    for path, class_name in reversed(list(zip(scopes, classes, strict=False))):
        kind = kind_by_name(class_name.rpartition(".")[2])
        if kind is not None:
            return path, kind
    return None


def module_of(node: OnnxNode) -> str | None:
    """Path of the module whose code makes a call; `None` where it is not known."""
    scopes = _texts(node, "scopes")
    return scopes[-2] if len(scopes) > 1 else None


def was_training(node: OnnxNode) -> bool:
    """Whether a call was a BatchNorm in training mode when it was exported."""
    return torch_operator(node) in _TRAINING and not _IN_EVAL.search(node.notes.get("call", ""))


def has_notes(nodes: Sequence[OnnxNode]) -> bool:
    """Whether the exporter noted the operators of torch at all."""
    return any(torch_operator(node) for node in nodes)


def _texts(node: OnnxNode, note: str) -> list[str]:
    """The texts of a list as Python writes it; none where it is anything else. Nothing is parsed as code."""
    text = node.notes.get(note, "[]")
    if _LIST.fullmatch(text) is None:
        return []
    return [_ESCAPED.sub(r"\1", found[1:-1]) for found in _TEXT.findall(text)]
