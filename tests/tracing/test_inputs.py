"""Inputs: as texts and files, guessed from the model, and told to the user where no guess fits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

import bnlint
from bnlint.errors import NotAnalysedError, UsageError
from bnlint.tracing.inputs import Inputs, as_inputs
from bnlint.tracing.trace import How
from tests.models import ConvNet
from tests.tracing.proof import block

SPECIFICATIONS = [
    ("1x3x224x224", (1, 3, 224, 224), torch.float32),
    ("1x77:int64", (1, 77), torch.int64),
    ("7", (7,), torch.float32),
    ("2x0x3:bool", (2, 0, 3), torch.bool),
    ("1x3:bfloat16", (1, 3), torch.bfloat16),
    ("1x3:half", (1, 3), torch.float16),
    ("1x3:complex64", (1, 3), torch.complex64),
]


@pytest.mark.parametrize(("text", "shape", "dtype"), SPECIFICATIONS)
def test_a_text_is_a_tensor_without_data(text: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    (tensor,) = as_inputs(text).args
    assert (tuple(tensor.shape), tensor.dtype, tensor.is_meta) == (shape, dtype, True)


def test_named_and_unnamed_texts_mix() -> None:
    inputs = as_inputs(["1x3x8x8", "mask=1x77:bool", "ids=1x77:int64"])
    assert [tuple(value.shape) for value in inputs.args] == [(1, 3, 8, 8)]
    assert {name: value.dtype for name, value in inputs.kwargs.items()} == {"mask": torch.bool, "ids": torch.int64}
    assert str(inputs) == "1x3x8x8:float32, mask=1x77:bool, ids=1x77:int64"
    assert inputs.batch_size == 1


@pytest.mark.parametrize("text", ["1x3xHxW", "", "x3", "1,3,224", "1x-3", "image.png", "a=b=1x3", "1x3:"])
def test_a_text_that_is_no_input_says_how_to_write_one(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_inputs(text)
    assert repr(text) in caught.value.cause
    assert "1x3x224x224" in caught.value.hint


@pytest.mark.parametrize(
    ("typo", "nearest"), [("flaot32", "float32"), ("int46", "int64"), ("bolo", "bool"), ("floot16", "float16")]
)
def test_a_misspelt_dtype_is_told_the_nearest(typo: str, nearest: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_inputs(f"1x3:{typo}")
    assert typo in caught.value.cause
    assert nearest in caught.value.hint


def test_something_that_is_no_input_at_all() -> None:
    with pytest.raises(UsageError, match="int"):
        as_inputs(3)


def test_files_of_torch_and_numpy(tmp_path: Path) -> None:
    image = torch.arange(12.0).reshape(1, 3, 2, 2)
    torch.save(image, tmp_path / "tensor.pt")
    torch.save([image, image + 1], tmp_path / "list.pt")
    torch.save({"x": image}, tmp_path / "named.pt")
    numpy.save(tmp_path / "array.npy", image.numpy())
    numpy.savez(tmp_path / "named.npz", x=image.numpy())
    numpy.savez(tmp_path / "unnamed.npz", image.numpy(), image.numpy() + 1)

    for name in ("tensor.pt", "array.npy"):
        assert torch.equal(as_inputs(str(tmp_path / name)).args[0], image), name
    for name in ("named.pt", "named.npz"):
        assert torch.equal(as_inputs(str(tmp_path / name)).kwargs["x"], image), name
    for name in ("list.pt", "unnamed.npz"):
        assert torch.equal(as_inputs(str(tmp_path / name)).args[1], image + 1), name


def test_a_file_is_an_input_of_a_check(tmp_path: Path) -> None:
    torch.save(torch.zeros(2, 3, 8, 8), tmp_path / "x.pt")
    report = bnlint.check(ConvNet().eval(), inputs=[str(tmp_path / "x.pt")])
    assert (report.coverage.inputs, report.coverage.inputs_assumed) == ("2x3x8x8:float32", False)
    assert report.coverage.graph == "recorded"


class Marked:
    """Something whose loading would run code."""


@pytest.mark.parametrize("content", ["text", "object", "number", "pickled array"])
def test_a_file_that_holds_no_tensors(tmp_path: Path, content: str) -> None:
    path = tmp_path / ("x.npy" if content == "pickled array" else "x.pt")
    if content == "text":
        path.write_text("not a tensor")
    elif content == "object":
        torch.save(Marked(), path)
    elif content == "number":
        torch.save(3, path)
    elif content == "pickled array":
        numpy.save(path, numpy.array([object()]), allow_pickle=True)
    with pytest.raises(NotAnalysedError) as caught:
        as_inputs(str(path))
    assert path.name in caught.value.cause


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*x\.pt"):
        as_inputs(str(tmp_path / "x.pt"))


def test_the_batch_size_is_the_first_axis_that_all_tensors_share() -> None:
    assert as_inputs(["4x3x8x8", "4x7:int64"]).batch_size == 4
    assert as_inputs(["4x3x8x8", "5x7:int64"]).batch_size is None
    assert Inputs((torch.zeros(()), {"x": [torch.zeros(4, 2)]})).batch_size == 4


def test_named_inputs_reach_the_model() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.bn = nn.Embedding(10, 4), nn.BatchNorm1d(4)

        def forward(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
            x = self.embedding(input_ids).transpose(1, 2)
            return self.bn(x if mask is None else x * mask[:, None])

    trace = bnlint.trace(Tokens().eval(), ["mask=2x5:bool", "input_ids=2x5:int64"])
    assert trace.how is How.RECORDED
    assert trace.inputs == "mask=2x5:bool, input_ids=2x5:int64"
    assert trace.norm_calls[0].input_shape == (2, 4, 5)


# Guesses


def with_configuration(name: str, configuration: Any) -> nn.Module:
    """A model whose flattened image must be of exactly 3·37·37 values: no common size fits."""
    model = nn.Sequential(block(), nn.Flatten(), nn.Linear(3 * 37 * 37, 2), nn.BatchNorm1d(2))
    setattr(model, name, configuration)
    return model


CONFIGURATIONS = [
    ("pretrained_cfg", {"input_size": (3, 37, 37)}),
    ("default_cfg", {"input_size": [3, 37, 37]}),
    ("pretrained_cfg", SimpleNamespace(input_size=(3, 37, 37))),
    ("config", SimpleNamespace(image_size=37, num_channels=3)),
    ("config", {"image_size": 37}),
]


@pytest.mark.parametrize(("name", "configuration"), CONFIGURATIONS)
def test_the_configuration_of_a_model_tells_its_input(name: str, configuration: Any) -> None:
    trace = bnlint.trace(with_configuration(name, configuration).eval())
    assert trace.how is How.RECORDED
    assert trace.inputs == "2x3x37x37:float32"
    assert trace.inputs_assumed


def test_a_vocabulary_tells_of_tokens() -> None:
    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = SimpleNamespace(vocab_size=30)
            self.weight = nn.Parameter(torch.randn(30, 4))
            self.norm = nn.LayerNorm(4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.norm(self.weight[tokens])

    trace = bnlint.trace(LanguageModel().eval())
    assert trace.how is How.RECORDED
    assert trace.inputs.endswith(":int64")


class Recurrent(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.lstm, self.norm = nn.LSTM(6, 4, batch_first=batch_first), nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.lstm(x)[0])


GUESSED = [
    (nn.Sequential(nn.Conv1d(5, 4, 3), nn.BatchNorm1d(4)), "2x5x"),
    (nn.Sequential(nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)), "2x5x"),
    (nn.Sequential(nn.Conv3d(5, 4, 3), nn.BatchNorm3d(4)), "2x5x"),
    (nn.Sequential(nn.ConvTranspose2d(5, 4, 3), nn.BatchNorm2d(4)), "2x5x"),
    (nn.Sequential(nn.Linear(13, 4), nn.BatchNorm1d(4)), "2x13:"),
    (nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 4), nn.BatchNorm1d(4)), "2x784:"),
    (nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4)), "2x16:int64"),
    (nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 4)), "2x9:"),
    (nn.Sequential(nn.BatchNorm2d(9), nn.ReLU()), "2x9x"),
    (Recurrent(batch_first=True), "2x16x6:"),
    (Recurrent(batch_first=False), "16x2x6:"),
    (block().half(), "2x3x224x224:float16"),
    (block().double(), "2x3x224x224:float64"),
]


@pytest.mark.parametrize(("model", "beginning"), GUESSED, ids=[beginning for _, beginning in GUESSED])
def test_the_first_layers_tell_rank_channels_and_dtype(model: nn.Module, beginning: str) -> None:
    trace = bnlint.trace(model.eval())
    assert trace.how is How.RECORDED
    assert trace.inputs.startswith(beginning)
    assert trace.inputs_assumed


@pytest.mark.parametrize("size", [224, 32, 28, 64])
def test_common_image_sizes_are_tried(size: int) -> None:
    features = 4 * (size // 4) ** 2
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(features, 2))
    trace = bnlint.trace(model.eval())
    assert (trace.how, trace.inputs) == (How.RECORDED, f"2x1x{size}x{size}:float32")


def test_several_inputs_of_one_shape() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block()

        def forward(self, left: Tensor, right: Tensor, weight: float = 0.5) -> Tensor:
            return self.block(left) * weight + self.block(right)

    trace = bnlint.trace(Siamese().eval())
    assert trace.how is How.RECORDED
    assert [call.layer for call in trace.norm_calls] == ["block.1", "block.1"]


@pytest.mark.parametrize("name", ["images", "batched_inputs"])
def test_a_model_that_takes_a_list_of_images(name: str) -> None:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block()

    exec(f"def forward(self, {name}): return [self.block(image[None]) for image in {name}]", locals())
    Detector.forward = locals()["forward"]
    trace = bnlint.trace(Detector().eval())
    assert trace.how is How.RECORDED
    assert trace.inputs == "[3x224x224:float32, 3x224x224:float32]"
    assert [call.layer for call in trace.norm_calls] == ["block.1", "block.1"]


# Where no guess fits


class OddImage(nn.Module):
    """Takes images of one odd size only, and its code cannot be followed without an input."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.bn = layer, nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 41:
            raise ValueError("the last axis must be 41")
        return self.bn(self.layer(x))


FLAGS = [
    (nn.Conv1d(5, 4, 3), "`--input 1x5xL`"),
    (nn.Conv2d(5, 4, 3), "`--input 1x5xHxW`"),
    (nn.Conv3d(5, 4, 3), "`--input 1x5xTxHxW`"),
    (nn.Linear(43, 4), "`--input 1x43`"),
    (nn.Embedding(10, 4), "`--input 1xL:int64`"),
    (nn.LSTM(6, 4, batch_first=True), "`--input 1xLx6`"),
    (nn.LSTM(6, 4), "`--input Lx1x6`"),
]


@pytest.mark.parametrize(("layer", "flag"), FLAGS, ids=[flag for _, flag in FLAGS])
def test_the_reason_shows_the_flag_to_give(layer: nn.Module, flag: str) -> None:
    trace = bnlint.trace(OddImage(layer).eval())
    assert trace.how in (How.NONE, How.PARTIAL)
    assert flag in trace.reason
    assert "must be 41" in trace.reason


def test_the_flag_names_each_input_of_several() -> None:
    class TwoInputs(OddImage):
        def forward(self, image: Tensor, box: Tensor, scale: float = 1.0) -> Tensor:
            return super().forward(image) + box * scale

    reason = bnlint.trace(TwoInputs(nn.Conv2d(5, 4, 3)).eval()).reason
    assert "`--input image=1x5xHxW --input box=SHAPE`" in reason


def test_the_flag_that_is_shown_works_with_letters_filled_in() -> None:
    model = OddImage(nn.Conv2d(5, 4, 3)).eval()
    flag = bnlint.trace(model).reason.partition("`--input ")[2].partition("`")[0]
    given = flag.replace("H", "41").replace("W", "41")
    assert bnlint.trace(model, (given,)).how is How.RECORDED


def test_no_flag_is_suggested_where_an_input_was_given() -> None:
    reason = bnlint.trace(OddImage(nn.Conv2d(5, 4, 3)).eval(), ("1x5x9x9",)).reason
    assert "must be 41" in reason
    assert "give another" not in reason


def test_a_check_tells_what_to_give() -> None:
    report = bnlint.check(OddImage(nn.Conv2d(5, 4, 3)).eval())
    assert "--input 1x5xHxW" in report.coverage.reason
    assert report.not_run
