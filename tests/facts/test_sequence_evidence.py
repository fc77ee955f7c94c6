"""Whether a call stands in a sequence model, and what the rules make of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bnlint
from tests import torchvision_ops  # noqa: F401  (before timm)
from tests.models import ConvNet, PooledBranch, RecurrentTokens
from tests.tracing.proof import images


class PatchTokens(nn.Module):
    """As PatchTST: attention over patches of a time series, BatchNorm over its features."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.bn = nn.BatchNorm1d(8)

    def forward(self, series: Tensor) -> Tensor:
        x = self.embed(series.unfold(1, 4, 4))
        x = x + self.attention(x, x, x)[0]
        return self.bn(x.transpose(1, 2)).transpose(1, 2)


class HandwrittenAttention(nn.Module):
    """Scores, scale, mask, softmax, dropout, product: no attention function is called."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.bn = nn.Linear(8, 24), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (q @ k.mT) / math.sqrt(8)
        scores = scores.masked_fill(torch.ones(6, 6).triu(1).bool(), float("-inf"))
        return self.bn((F.dropout(scores.softmax(-1), 0.1, self.training) @ v).mT)


class FusedAttention(HandwrittenAttention):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1)).mT)


class BeforeAttention(HandwrittenAttention):
    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(x.mT).mT
        return F.scaled_dot_product_attention(*self.qkv(x).chunk(3, -1))


class EmbeddedTokens(nn.Module):
    """Convolutions over embedded tokens, BatchNorm over their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.conv, self.bn = nn.Embedding(10, 8), nn.Conv1d(8, 8, 3), nn.BatchNorm1d(8)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bn(self.conv(self.embedding(tokens).transpose(1, 2)))


class Gates(nn.Module):
    """A softmax that weighs channels of a table is no attention over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.bn, self.head = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bn(x * self.linear(x).softmax(-1))).softmax(-1)


SEQUENCES = [
    (PatchTokens(), (torch.randn(2, 24),), {"attention"}),
    (RecurrentTokens(), (torch.randn(2, 5, 6),), {"recurrent"}),
    (HandwrittenAttention(), (torch.randn(2, 6, 8),), {"attention"}),
    (FusedAttention(), (torch.randn(2, 6, 8),), {"attention"}),
    (BeforeAttention(), (torch.randn(2, 6, 8),), {"attention"}),
    (EmbeddedTokens(), (torch.zeros(2, 6, dtype=torch.int64),), {"embedding"}),
    (Gates(), (torch.randn(2, 8),), set()),
    (ConvNet(), (images(),), set()),
    (PooledBranch(), (images(),), set()),
]


@pytest.mark.parametrize(("model", "inputs", "expected"), SEQUENCES, ids=[type(case[0]).__name__ for case in SEQUENCES])
def test_evidence_of_a_sequence_model(model: nn.Module, inputs: Any, expected: set[str]) -> None:
    found = [facts.sequence_evidence for facts in bnlint.inspect(model.eval(), inputs=inputs).norms]
    assert found
    assert all(evidence == expected for evidence in found)


class PixelTokens(nn.Module):
    """As LeViT: the tokens are the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.attention = FusedAttention()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.patches(x).flatten(2).mT)


def test_the_pixels_of_an_image_are_no_sequence() -> None:
    (facts,) = bnlint.inspect(PixelTokens().eval(), inputs=(images(),)).norms
    assert facts.input_shape == (2, 8, 4)
    assert facts.sequence_evidence == frozenset()


@pytest.mark.parametrize("name", ["levit_128s", "xcit_nano_12_p8_224"])
def test_vision_models_with_attention_are_silent(name: str) -> None:
    import timm

    with torch.device("meta"):
        model = timm.create_model(name).eval()
    table = bnlint.inspect(model)
    batch_norms = [facts for facts in table.norms if facts.kind == "batch_norm"]
    assert batch_norms
    assert {facts.sequence_evidence for facts in batch_norms} == {frozenset()}


class SentenceClassifier(nn.Module):
    """Embedded tokens are averaged before the BatchNorm of an MLP: a sample is one row, not a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear, self.bn = nn.Embedding(10, 8), nn.Linear(8, 4), nn.BatchNorm1d(4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.bn(self.linear(self.embedding(tokens).mean(1)))


class Conformer(nn.Module):
    """A convolution module with BatchNorm behind attention over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.conv, self.bn = nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.BatchNorm1d(8)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames + self.attention(frames, frames, frames)[0]
        return x + F.silu(self.bn(self.conv(x.mT))).mT


def findings(model: nn.Module, inputs: Any) -> dict[str, str]:
    report = bnlint.check(model.eval(), inputs=inputs, select=["BN4"])
    assert not [item for item in report.not_run if not item.opt_in]
    return {finding.code: str(finding.severity) for finding in report.findings}


def test_an_mlp_over_pooled_tokens_is_no_warning() -> None:
    tokens = torch.zeros(2, 6, dtype=torch.int64)
    (facts,) = bnlint.inspect(SentenceClassifier().eval(), inputs=(tokens,)).norms
    assert facts.values_per_sample == 1
    assert findings(SentenceClassifier(), (tokens,)) == {}


def test_a_conformer_is_told_apart_from_a_transformer() -> None:
    conformer = findings(Conformer(), (torch.randn(2, 6, 8),))
    assert "warning" not in conformer.values()
    assert "warning" in findings(PatchTokens(), (torch.randn(2, 24),)).values()
    (facts,) = bnlint.inspect(Conformer().eval(), inputs=("2x6x8",)).norms
    assert facts.sequence_evidence == {"attention"}
    assert facts.fed_by == {"convolution"}
