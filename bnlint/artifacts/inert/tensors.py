"""Tensors as a pickle describes them: data type, shape and place in the file, without the values."""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, Final

import msgspec

from bnlint.artifacts.inert.values import Global, Persistent, Stub, inline_storage, made_by, named


class SavedTensor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One tensor in a file.

    Attributes:
        dtype: Such as `float32`, by torch's names.
        shape: Its shape.
        stride: Its strides, in elements.
        offset: The first element of the storage that it uses, in elements.
        storage: Key of the storage in the file; empty where the file holds no values (the meta device).
        storage_size: Size of the storage as the pickle states it, in bytes.
        requires_grad: Whether it takes part in training.
        parameter: Whether it is an `nn.Parameter`.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: str
    storage_size: int
    requires_grad: bool
    parameter: bool = False

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def last(self) -> int:
        """The last element of the storage that it uses, in elements; of a tensor without elements this says nothing."""
        return self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    @property
    def end(self) -> int:
        """The end of the part of the storage that it uses, in bytes."""
        return (self.last + 1) * ITEM_SIZES[self.dtype]


MOST_AXES: Final = 64
"""Axes of a tensor; those of NumPy have as many at most."""


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of a tensor whose elements follow each other with the last axis first.

    Args:
        shape: Its shape.
    """
    if len(shape) < 2:
        return (1,) * len(shape)
    steps = itertools.accumulate(reversed(shape[1:]), operator.mul, initial=1)
    return tuple(steps)[::-1]


ITEM_SIZES: Final = {
    "float64": 8, "int64": 8, "complex64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2,
    "uint8": 1, "int8": 1, "bool": 1, "complex128": 16, "uint16": 2, "uint32": 4, "uint64": 8,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
}  # fmt: skip
"""Bytes of one element by the name of the data type."""

_STORAGE_TYPES: Final = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8",
}  # fmt: skip


class Storage(msgspec.Struct, frozen=True):
    """A storage that a pickle refers to.

    Attributes:
        key: Its name in the file; empty on the meta device.
        dtype: The data type of its elements.
        size: Its size, in bytes.
    """

    key: str
    dtype: str
    size: int


def as_tensor(value: Any) -> SavedTensor | None:
    """The tensor that a value describes; `None` where it is anything else, or is not described soundly."""
    if not isinstance(value, Stub) or not isinstance(value.arguments, tuple):
        return None
    arguments = value.arguments
    if named(value.maker, "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
        tensor = as_tensor(arguments[0]) if arguments else None
        learns = len(arguments) > 1 and arguments[1] is True
        return tensor and msgspec.structs.replace(tensor, parameter=True, requires_grad=learns)
    if named(value.maker, "torch.nn.parameter.Parameter"):
        tensor = as_tensor(arguments[0]) if arguments else None
        return tensor and msgspec.structs.replace(tensor, parameter=True)
    if named(value.maker, "torch._tensor._rebuild_from_type_v2") and len(arguments) == 4:
        # A subclass of Tensor: what makes it, its class, the arguments, its attributes.
        return as_tensor(Stub(arguments[0], arguments[2]))
    if named(value.maker, "torch._utils._rebuild_meta_tensor_no_storage") and len(arguments) >= 3:
        dtype, size, stride = arguments[:3]
        return _tensor(Storage("", "", 0), 0, size, stride, as_dtype(dtype) or "")
    names = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
    if not named(value.maker, *names) or len(arguments) < 4:
        return None
    storage = as_storage(arguments[0])
    if storage is None:
        return None
    dtype = storage.dtype
    if made_by(value, "torch._utils._rebuild_tensor_v3"):
        dtype = (as_dtype(arguments[6]) if len(arguments) > 6 else None) or ""
    learns = len(arguments) > 4 and arguments[4] is True
    return _tensor(storage, arguments[1], arguments[2], arguments[3], dtype, learns)


def _tensor(
    storage: Storage, offset: Any, size: Any, stride: Any, dtype: str, requires_grad: bool = False
) -> SavedTensor | None:
    shape, steps = as_sizes(size), as_sizes(stride)
    if dtype not in ITEM_SIZES or shape is None or steps is None or len(shape) != len(steps):
        return None
    if not _is_size(offset):
        return None
    return SavedTensor(dtype, shape, steps, offset, storage.key, storage.size, requires_grad)


def as_storage(value: Any) -> Storage | None:
    """The storage of a persistent id, as `torch.save` writes it: `("storage", type, key, location, elements, …)`."""
    if not isinstance(value, Stub):
        return _of_persistent(value)
    if value.storage is None:
        value.storage = _NO_STORAGE  # also while it is looked at, for it may hold itself
        value.storage = _of_stub(value) or _NO_STORAGE
    return None if value.storage is _NO_STORAGE else value.storage


_NO_STORAGE: Final = Storage("", "", 0)


def _of_stub(value: Stub) -> Storage | None:
    if made_by(value, "torch.storage.TypedStorage", "torch.storage._TypedStorage"):
        return as_storage(value.keywords.get("wrap_storage")) if isinstance(value.keywords, dict) else None
    blob = inline_storage(value.maker, value.arguments)
    if blob is None:
        return None

    from bnlint.artifacts.inert.inline import read_inline  # only plain pickles have storages in bytes

    found = read_inline(blob)
    storage = as_storage(found.storage)
    return storage and msgspec.structs.replace(storage, key=found.key)


def _of_persistent(value: Any) -> Storage | None:
    identity = value.id if isinstance(value, Persistent) else None
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return None
    if len(identity) > 5 and identity[5] is not None:  # a view of another storage, as before torch 0.4
        return None
    kind, key, location, elements = identity[1:5]
    dtype = _STORAGE_TYPES.get(kind.name) if isinstance(kind, Global) and kind.module.startswith("torch") else None
    if dtype is None or not _is_size(elements) or not (isinstance(key, str) or _is_size(key)):
        return None
    return Storage("" if location == "meta" else str(key), dtype, elements * ITEM_SIZES[dtype])


def as_dtype(value: Any) -> str | None:
    """The name of a data type of torch; `None` for anything else."""
    return value.name if isinstance(value, Global) and value.module == "torch" and value.name in ITEM_SIZES else None


def as_sizes(value: Any) -> tuple[int, ...] | None:
    """A shape, a stride or an offset; `None` where a value is none."""
    if made_by(value, "torch.Size") and isinstance(value.arguments, tuple) and value.arguments:
        value = value.arguments[0]
    if not isinstance(value, (tuple, list)) or len(value) > MOST_AXES or not all(_is_size(item) for item in value):
        return None
    return tuple(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62
