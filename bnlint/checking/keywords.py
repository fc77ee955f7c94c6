# ruff: noqa: I001 - written by `make docs`, from options.py
"""The keywords of the public functions, for type checkers and editors; nothing imports this when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from bnlint.checking.options import ContextName
    from bnlint.checking.options import DataType
    from bnlint.checking.options import SeverityName
    from bnlint.config import ConfigFile
    from bnlint.report import Context
    from bnlint.report import Severity
    from collections.abc import Callable
    from collections.abc import Iterable
    from collections.abc import Mapping
    from typing import Any
    from typing import Literal
    import os
    import torch


class _Looking(TypedDict, total=False):
    inputs: object
    """What to call the model with: a tensor, a tuple of tensors, a dict of keyword tensors, or texts such as
    `1x3x224x224` and `input_ids=1x128:int64`. Guessed from the model if not given. The model is traced with it on meta
    tensors; values are used only where its code asks for them."""
    key: str
    """Which of several models or sets of weights in a file, such as `ema`; the usual one if not given."""
    allow: str | Iterable[str]
    """Packages whose classes a whole model in a file may be made of, such as `timm`, beside those of `torch.nn`: it is
    then traced without being unpickled. Their code runs."""
    trust: bool
    """Load whole models and exported programs, which runs the code that they name."""
    timeout: float | None
    """Seconds for tracing, and for each kind of run."""
    batch_size: int | None
    """The training batch on each device, in samples."""
    devices: int | None
    """Number of devices that train together."""
    accumulate: int | None
    """Number of batches whose gradients are added up for one step of the optimiser."""
    dataset_size: int | None
    """Samples in one epoch, over all devices."""
    drop_last: bool | None
    """Whether a short last batch is left out; kept if not given, as by `DataLoader`."""
    deploy_dtype: torch.dtype | DataType | None
    """The data type of deployment, `float16` or `bfloat16`."""
    run: bool | None
    """Whether to run a copy of the model with its weights, for BN110, BN111 and the fact `updates_per_forward`. Nothing
    is run by default, values in `inputs` or not. It costs four forwards in eval mode (six where samples influence each
    other), one forward and one backward in training mode, and the memory of a copy of the model with its gradients."""
    padding: str | Iterable[str]
    """How inputs are padded, as `AXIS`, `NAME=AXIS` or `NAME=AXIS:VALUE`: a copy is then run with padding."""
    data: object
    """Real inputs to compare running statistics with: the name of a file, or an iterable of batches such as a
    `DataLoader`; of `(images, labels)` the model gets what its `forward` requires."""
    data_batches: int | None
    """How many batches of `data` to look at; 16 if not given."""


class _LookingAtOne(TypedDict, total=False):
    weights: str | os.PathLike[str] | None
    """A weights file to load into the model of an import string."""
    kwargs: Mapping[str, Any] | None
    """Arguments for the factory of an import string."""
    loader: object
    """A `torch.utils.data.DataLoader` that declares how the model is trained; it is not iterated over."""
    progress: Callable[[str], None] | None
    """Is told which stage begins: `reading`, `tracing`, `running`, `data`, `facts`, `rules`."""


class _Judging(TypedDict, total=False):
    context: Context | ContextName | None
    """What the model is about to do: `inference`, the default, or `training`."""
    select: str | Iterable[str]
    """Only these rules: codes, names or beginnings of codes, such as `BN5`; all by default."""
    ignore: str | Iterable[str]
    """Not these rules, likewise."""
    require: str | Iterable[str]
    """Rules that have to be decided, likewise: where one cannot be, `Report.ok` is false and the exit code is 3."""
    severity: Mapping[str, Severity | SeverityName] | None
    """Other severities by code, name or beginning of codes, such as `{"BN201": "warning"}`; where several fit a rule,
    the longest counts."""
    options: Mapping[str, Mapping[str, int | float]] | None
    """Other numbers for the options of rules, by code or name of the rule, then by name of the option, such as
    `{"BN301": {"minimum_values": 400}}`; `bnlint explain RULE` lists them."""
    fail_on: Severity | SeverityName | Literal["never"] | None
    """The least severity of a finding that makes `Report.ok` false and the exit code 1, by default `warning`; `never`
    for none."""
    profile: str | None
    """Name of a profile to start from, such as `deploy` or `strict`."""
    config: ConfigFile | str | os.PathLike[str] | None
    """A configuration file, over which the other options win; in Python none is looked for."""
    rules: Iterable[str | os.PathLike[str]]
    """Folders with further rule files; in a configuration file, relative to it."""


class CheckKeywords(_Looking, _LookingAtOne, _Judging, total=False):
    """What `bnlint.check` takes by name."""


class InspectKeywords(_Looking, _LookingAtOne, total=False):
    """What `bnlint.inspect` takes by name."""


class FilesKeywords(_Looking, _Judging, total=False):
    """What `bnlint.check_files` takes by name."""
