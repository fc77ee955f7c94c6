"""An ONNX file without the weights in it: what is left is small, and says where each of them lies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from bnlint.artifacts.inert.protobuf import BadMessageError, Field, fields
from bnlint.artifacts.inert.regions import Region

LARGEST_MODEL: Final = 1 << 27
"""Bytes of a model without its weights; a large graph, with a stack trace for each call, has some ten MB."""

MOST_PARTS: Final = 1 << 17
"""Calls, initialisers, inputs, outputs and described values of a graph; the largest published models have some ten
thousand."""

_LEFT_OUT: Final = 4096
"""Values of a tensor that take more bytes than this are left out."""

_GRAPH: Final = 7
_NODE, _INITIALIZER = 1, 5
_OUTPUT, _OPERATOR, _ATTRIBUTE = 2, 4, 5
_TENSOR: Final = 5
_NAME, _DATA_TYPE = 8, 2
_FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA = 4, 9, 10
_SAME_AS_RAW: Final = {_FLOAT_DATA: 1, _DOUBLE_DATA: 11}
"""Fields whose packed numbers are laid out as in `raw_data`, with the data type that they stand for."""


@dataclass(frozen=True)
class Reduced:
    """A model without its weights.

    Attributes:
        data: The model as a message, with the values of large tensors left out.
        regions: Where the values of initialisers, and of results of `Constant` operators, lie in the file, by name.
    """

    data: bytes
    regions: Mapping[str, Region]


def reduced(file: BinaryIO) -> Reduced:
    """Leave the weights of a model out.

    Args:
        file: An ONNX file.

    Raises:
        BadMessageError: The file is no message, is cut short, or has more beside its weights than any model.
    """
    size = file.seek(0, os.SEEK_END)
    return _Reducer(file).model(size)


class _Reducer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._regions: dict[str, Region] = {}
        self._length = 0

    def model(self, size: int) -> Reduced:
        parts = [
            self._graph(field) if field.number == _GRAPH and field.is_bytes else self._copy(field)
            for field in _within(self._file, 0, size)
        ]
        return Reduced(b"".join(parts), self._regions)

    def _graph(self, graph: Field) -> bytes:
        parts: list[bytes] = []
        for field in _within(self._file, graph.content, graph.end):
            if len(parts) >= MOST_PARTS:
                raise BadMessageError("its graph has more parts than that of any model")
            if field.number == _INITIALIZER and field.is_bytes:
                parts.append(self._tensor(field))
            elif field.number == _NODE and field.is_bytes and self._may_be_constant(field):
                parts.append(self._node(field))
            else:
                parts.append(self._copy(field))
        return _message(_GRAPH, b"".join(parts))

    def _may_be_constant(self, node: Field) -> bool:
        """A quick look, since taking every node apart costs time."""
        return node.end - node.content > _LEFT_OUT or b"Constant" in self._read(node)

    def _node(self, node: Field) -> bytes:
        """A `Constant` may hold weights as an initialiser does: PaddlePaddle writes all of them so."""
        found = list(_within(self._file, node.content, node.end))
        texts = {field.number: self._text(field) for field in reversed(found) if field.number in (_OUTPUT, _OPERATOR)}
        if texts.get(_OPERATOR) != "Constant":
            return self._copy(node)
        name = texts.get(_OUTPUT, "")
        parts = [
            self._attribute(field, name) if field.number == _ATTRIBUTE and field.is_bytes else self._copy(field)
            for field in found
        ]
        return _message(_NODE, b"".join(parts))

    def _attribute(self, attribute: Field, name: str) -> bytes:
        parts = [
            self._tensor(field, _TENSOR, name) if field.number == _TENSOR and field.is_bytes else self._copy(field)
            for field in _within(self._file, attribute.content, attribute.end)
        ]
        return _message(_ATTRIBUTE, b"".join(parts))

    def _tensor(self, tensor: Field, number: int = _INITIALIZER, result: str = "") -> bytes:
        """A tensor without its values.

        Args:
            tensor: Where it is.
            number: Its number in what holds it.
            result: The value of the graph that it is; empty for an initialiser, which goes by its own name.
        """
        parts = []
        name, data_type = "", 0
        values: list[Field] = []
        for field in _within(self._file, tensor.content, tensor.end):
            if field.number in (_FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA) and field.is_bytes:
                values.append(field)
                if field.end - field.content > _LEFT_OUT:
                    continue
            elif field.number == _DATA_TYPE:
                data_type = field.value
            elif field.number == _NAME and field.is_bytes:
                name = self._text(field)
            parts.append(self._copy(field))
        if len(values) == 1 and _SAME_AS_RAW.get(values[0].number, data_type) == data_type:
            self._regions[result or name] = Region(values[0].content, values[0].end - values[0].content)
        return _message(number, b"".join(parts))

    def _text(self, field: Field) -> str:
        return self._read(field).decode("utf-8", "replace") if field.is_bytes else ""

    def _read(self, field: Field) -> bytes:
        self._file.seek(field.content)
        return self._file.read(min(field.end - field.content, _LEFT_OUT))

    def _copy(self, field: Field) -> bytes:
        self._length += field.end - field.start
        if self._length > LARGEST_MODEL:
            raise BadMessageError("it has more beside its weights than any model")
        self._file.seek(field.start)
        return self._file.read(field.end - field.start)


def _within(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    for field in fields(file, start, end):
        if field.end > end:
            raise BadMessageError("a part of it reaches beyond its end")
        yield field


def _message(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | 2) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
