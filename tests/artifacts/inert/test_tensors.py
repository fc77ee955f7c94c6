from __future__ import annotations

import pytest
import torch

from bnlint.artifacts.inert.tensors import SavedTensor, contiguous


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (4, 1, 5), (2, 3, 4, 5)])
def test_strides_of_a_contiguous_tensor_are_those_of_torch(shape: tuple[int, ...]) -> None:
    assert contiguous(shape) == torch.empty(shape).stride() or 0 in shape


@pytest.mark.parametrize("make", [lambda x: x[1:3, 2:5], lambda x: x.t(), lambda x: x[:, ::2], lambda x: x[2, 3]])
def test_the_end_is_that_of_the_last_element(make) -> None:
    view = make(torch.arange(24, dtype=torch.float32).view(4, 6))
    saved = SavedTensor("float32", tuple(view.shape), view.stride(), view.storage_offset(), "0", 96, False)
    assert saved.last == view.max()  # each number is its own place
    assert saved.end == 4 * (saved.last + 1)
