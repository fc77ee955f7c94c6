"""Moments of normalised values per channel, added up batch by batch, with their sampling error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ERRORS = 2.0
"""Standard errors that are put down to sampling: about 95 % of what chance gives."""


@dataclass(frozen=True)
class ChannelDistances:
    """How far the values of each channel are from mean 0 and variance 1; each of shape (C,), float64.

    Attributes:
        distance: Wasserstein-2 distance between N(mean, spread²) and N(0, 1), less two standard errors, at least 0.
        mean: Mean of the values.
        spread: Standard deviation of the values.
    """

    distance: Tensor
    mean: Tensor
    spread: Tensor


class Moments:
    """First and second moments of a channel's values over samples, and how they vary between samples.

    Values of one sample hang together (neighbouring pixels), so that the sample is what counts for the sampling error.
    The update is that of Chan, Golub and LeVeque (1979), which stays exact over many batches, in float64.

    Attributes:
        samples: Samples so far.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, first: Tensor, second: Tensor) -> None:
        """Add samples.

        Args:
            first: Mean of the values of each sample and channel, shape (N, C), float64.
            second: Mean of their squares, likewise.
        """
        rows = torch.stack([first, second])  # (2, N, C)
        number = rows.shape[1]
        mean = rows.mean(1)
        off = rows - mean[:, None]
        squares = torch.stack([(off[0] * off[0]).sum(0), (off[0] * off[1]).sum(0), (off[1] * off[1]).sum(0)])
        if not self.samples:
            self.samples, self._mean, self._squares = number, mean, squares
            return
        total = self.samples + number
        delta = mean - self._mean
        crossed = torch.stack([delta[0] * delta[0], delta[0] * delta[1], delta[1] * delta[1]])
        self._squares = self._squares + squares + crossed * (self.samples * number / total)
        self._mean = self._mean + delta * (number / total)
        self.samples = total

    def distances(self) -> ChannelDistances:
        """The distance of each channel; infinite where its values are not finite."""
        mean = self._mean[0]
        spread = (self._mean[1] - mean * mean).clamp_min(0).sqrt()
        raw = (mean * mean + (spread - 1) ** 2).sqrt()
        # The distance as a linear function of the two moments, near the values found (delta method).
        safe = raw.clamp_min(1e-12)
        of_second = (spread - 1) / (2 * spread.clamp_min(1e-12)) / safe
        of_first = mean / safe - 2 * mean * of_second
        first, mixed, second = self._squares / max(1, self.samples - 1)
        variance = of_first**2 * first + 2 * of_first * of_second * mixed + of_second**2 * second
        error = (variance.clamp_min(0) / self.samples).sqrt()
        distance = (raw - _ERRORS * error).clamp_min(0)
        return ChannelDistances(distance.nan_to_num(nan=torch.inf), mean, spread)
