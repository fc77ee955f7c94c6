"""The training set-up that a `DataLoader` object declares."""

from __future__ import annotations

from collections.abc import Sized

from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset

from bnlint.errors import UsageError
from bnlint.facts.setup import TrainingSetup


def setup_of_loader(loader: object) -> TrainingSetup:
    """What a loader tells of the training set-up; it is not iterated over.

    Left open are the batch size under a batch sampler of the user's own, or where the dataset makes the batches
    itself, and the length of an epoch of an `IterableDataset`, whose workers each end with a short batch of their own.

    Args:
        loader: A `torch.utils.data.DataLoader`.

    Returns:
        The set-up, with `None` for what the loader leaves open.

    Raises:
        UsageError: If it is no `DataLoader`.
    """
    if not isinstance(loader, DataLoader):
        raise UsageError(
            f"The loader is a {type(loader).__name__}, not a torch.utils.data.DataLoader.", "Give batch_size=… instead."
        )
    batches = loader.batch_sampler
    if type(batches) is not BatchSampler or isinstance(loader.dataset, IterableDataset):
        return TrainingSetup(batch_size=loader.batch_size, drop_last=True if loader.drop_last else None)
    sampler = batches.sampler
    devices = sampler.num_replicas if isinstance(sampler, DistributedSampler) else None
    return TrainingSetup(
        batch_size=batches.batch_size,
        devices=devices,
        dataset_size=_samples(sampler, devices or 1),
        drop_last=batches.drop_last,
    )


def _samples(sampler: object, devices: int) -> int | None:
    """Samples in an epoch over all devices: the sampler says how many each gets."""
    if not isinstance(sampler, Sized):
        return None
    try:
        return len(sampler) * devices or None
    except TypeError:  # a dataset without a length
        return None
