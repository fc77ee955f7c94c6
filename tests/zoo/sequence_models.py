"""Sequence models with normalisation, small: BatchNorm over their tokens is what bnlint warns of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn


class Transpose(nn.Module):
    """Exchanges the axes of tokens and channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def over_tokens(norm: nn.Module) -> nn.Sequential:
    """A BatchNorm1d for values of shape (N, L, C)."""
    return nn.Sequential(Transpose(), norm, Transpose())


def _tokens_by_batch(width: int) -> nn.Module:
    return over_tokens(nn.BatchNorm1d(width))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward part, each with a normalisation after it. Input (N, L, width)."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm1 = norm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm2 = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        return self.norm2(x + self.feed_forward(x))


class PatchTransformer(nn.Module):
    """PatchTST (Nie et al. 2023): patches of each series are tokens. Input (N, series, steps)."""

    def __init__(self, width: int = 16, patch: int = 16) -> None:
        super().__init__()
        self.patch = patch
        self.embedding = nn.Linear(patch, width)
        self.layers = nn.ModuleList(EncoderLayer(width, _tokens_by_batch) for _ in range(2))
        self.head = nn.Linear(width, 1)

    def forward(self, series: Tensor) -> Tensor:
        samples, variables, _ = series.shape
        patches = series.unfold(-1, self.patch, self.patch)
        x = self.embedding(patches.reshape(samples * variables, -1, self.patch))
        for layer in self.layers:
            x = layer(x)
        return self.head(x).view(samples, variables, -1)


class RecurrentTagger(nn.Module):
    """A tagger with a bidirectional GRU and BatchNorm over its steps. Input (N, L) of int64."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.recurrent = nn.GRU(8, 16, batch_first=True, bidirectional=True)
        self.norm = nn.BatchNorm1d(32)
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.embedding(tokens))
        return self.head(self.norm(hidden.transpose(1, 2)).transpose(1, 2))


class TextTransformer(nn.Module):
    """A transformer encoder over embedded tokens, with LayerNorm. Input (N, L) of int64."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, width)
        self.layers = nn.Sequential(*(EncoderLayer(width, nn.LayerNorm) for _ in range(2)))
        self.head = nn.Linear(width, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embedding(tokens)).mean(1))


class TextConvolutions(nn.Module):
    """Two convolutions over embedded tokens (Kim 2014). Input (N, L) of int64."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, width)
        self.conv1, self.norm1 = nn.Conv1d(width, width, 3, padding=1, bias=False), nn.Identity()
        self.conv2, self.norm2 = nn.Conv1d(width, width, 3, padding=1, bias=False), nn.Identity()
        self.head = nn.Linear(width, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens).transpose(1, 2)
        x = self.norm1(self.conv1(x)).relu()
        x = self.norm2(self.conv2(x)).relu()
        return self.head(x.amax(2))


class SpeechRecogniser(nn.Module):
    """The convolution module of a Conformer (Gulati et al. 2020) beside attention. Input (N, L, 16)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.before = nn.LayerNorm(width)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.GroupNorm(1, width)
        self.pointwise = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        inner = self.norm(self.depthwise(self.before(x).transpose(1, 2)))
        return x + self.pointwise(nn.functional.silu(inner)).transpose(1, 2)


class LineReader(nn.Module):
    """CRNN (Shi et al. 2015) in short: columns of an image become the steps of an LSTM. Input (N, 1, 16, W)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d((16, 1))
        )
        self.recurrent = nn.LSTM(8, width, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, lines: Tensor) -> Tensor:
        steps, _ = self.recurrent(self.features(lines).squeeze(2).transpose(1, 2))
        return self.head(self.norm(steps))


SEQUENCE_MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "CRNN": LineReader,
    "Conformer block": SpeechRecogniser,
    "GRU tagger": RecurrentTagger,
    "PatchTST": PatchTransformer,
    "text convolutions": TextConvolutions,
    "text transformer": TextTransformer,
}
