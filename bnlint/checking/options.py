"""The options of a check: one record, with the documentation of each.

The signatures of the public functions, the help of the command line, the configuration file with its schema, and the
table in `docs/configuration.md` are made from it. To add an option, add a field here and use it where it belongs;
`make docs` writes `keywords.py`, the schema and the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from bnlint.checking.option import Option, Options, option
from bnlint.errors import UnknownOptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Self

    import torch

    from bnlint.config import ConfigFile
    from bnlint.facts.setup import TrainingSetup
    from bnlint.report import Context, Severity

ContextName = Literal["inference", "training"]
SeverityName = Literal["error", "warning", "info"]
DataType = Literal["float16", "bfloat16"]


class CheckOptions(Options):
    """What a check is asked, apart from its target."""

    inputs: object = option(
        "reading",
        "What to call the model with: a tensor, a tuple of tensors, a dict of keyword tensors, or texts such as"
        " `1x3x224x224` and `input_ids=1x128:int64`. Guessed from the model if not given. The model is traced with it"
        " on meta tensors; values are used only where its code asks for them.",
        default=None,
        help="An input to trace with: 1x3x224x224, 1x77:int64 or input_ids=1x128:int64; once for each input.",
        form="texts",
        flag="--input",
        metavar="SPEC",
        example=("1x3x224x224",),
    )
    weights: str | os.PathLike[str] | None = option(
        "reading",
        "A weights file to load into the model of an import string.",
        default=None,
        help="Weights to load into the model that TARGET names.",
        form="text",
        metavar="FILE",
        example="r18.pth",
        one_target=True,
    )
    key: str = option(
        "reading",
        "Which of several models or sets of weights in a file, such as `ema`; the usual one if not given.",
        default="",
        help="Which of several models or sets of weights in a file, as ema.",
        form="key",
        metavar="NAME",
        example="ema",
    )
    kwargs: Mapping[str, Any] | None = option(
        "reading",
        "Arguments for the factory of an import string.",
        default=None,
        help="Arguments of the factory, as '{num_classes: 10}'.",
        form="yaml",
        metavar="YAML",
        example={"num_classes": 10},
        one_target=True,
    )
    allow: str | Iterable[str] = option(
        "reading",
        "Packages whose classes a whole model in a file may be made of, such as `timm`, beside those of `torch.nn`: it"
        " is then traced without being unpickled. Their code runs.",
        default=(),
        help="Import this package for the classes of a saved model, as timm; may be given several times.",
        form="words",
        metavar="PACKAGE",
        example=("timm",),
    )
    trust: bool = option(
        "reading",
        "Load whole models and exported programs, which runs the code that they name.",
        default=False,
        help="Load a whole model or program as torch does, which runs code in the file.",
        form="flag",
        example=True,
    )
    timeout: float | None = option(
        "reading",
        "Seconds for tracing, and for each kind of run.",
        default=None,
        help="The longest that tracing may take.",
        form="seconds",
        example=30,
    )
    batch_size: int | None = option(
        "training",
        "The training batch on each device, in samples.",
        default=None,
        help="The training batch on each device, for the rules on tiny batches.",
        form="count",
        example=8,
        in_file=True,
    )
    devices: int | None = option(
        "training",
        "Number of devices that train together.",
        default=None,
        help="How many devices train together; one.",
        form="count",
        example=4,
        in_file=True,
    )
    accumulate: int | None = option(
        "training",
        "Number of batches whose gradients are added up for one step of the optimiser.",
        default=None,
        help="How many batches make one step of the optimiser; one.",
        form="count",
        example=2,
        in_file=True,
    )
    dataset_size: int | None = option(
        "training",
        "Samples in one epoch, over all devices.",
        default=None,
        help="The samples in one epoch, for the rule on a short last batch.",
        form="count",
        example=50_000,
        in_file=True,
    )
    drop_last: bool | None = option(
        "training",
        "Whether a short last batch is left out; kept if not given, as by `DataLoader`.",
        default=None,
        help="A short last batch is left out.",
        form="flag",
        example=True,
        in_file=True,
    )
    loader: object = option(
        "training",
        "A `torch.utils.data.DataLoader` that declares how the model is trained; it is not iterated over.",
        default=None,
        one_target=True,
    )
    deploy_dtype: torch.dtype | DataType | None = option(
        "training",
        "The data type of deployment, `float16` or `bfloat16`.",
        default=None,
        help="The data type of deployment, for the rule on its range.",
        form="choice",
        flag="--dtype",
        choices=get_args(DataType),
        example="float16",
        in_file=True,
    )
    run: bool | None = option(
        "running",
        "Whether to run a copy of the model with its weights, for BN110, BN111 and the fact `updates_per_forward`."
        " Nothing is run by default, values in `inputs` or not. It costs four forwards in eval mode (six where samples"
        " influence each other), one forward and one backward in training mode, and the memory of a copy of the model"
        " with its gradients.",
        default=None,
        help="Run a copy of the model, in both modes.",
        form="flag",
        example=True,
    )
    padding: str | Iterable[str] = option(
        "running",
        "How inputs are padded, as `AXIS`, `NAME=AXIS` or `NAME=AXIS:VALUE`: a copy is then run with padding.",
        default=(),
        help="How an input is padded: 1 (the axis) or input_ids=1:0; once for each input. Runs a copy.",
        form="texts",
        metavar="SPEC",
        example=("input_ids=1:0",),
    )
    data: object = option(
        "running",
        "Real inputs to compare running statistics with: the name of a file, or an iterable of batches such as a"
        " `DataLoader`; of `(images, labels)` the model gets what its `forward` requires.",
        default=None,
        help="Real inputs to compare running statistics with: .pt, .npz, .npy or .safetensors. Runs a copy.",
        form="text",
        metavar="FILE",
        example="images.npz",
    )
    data_batches: int | None = option(
        "running",
        "How many batches of `data` to look at; 16 if not given.",
        default=None,
        help="How many batches of 32 samples to look at; by default 16.",
        form="count",
        example=64,
    )
    context: Context | ContextName | None = option(
        "judging",
        "What the model is about to do: `inference`, the default, or `training`.",
        default=None,
        help="What the model is about to do; by default inference.",
        form="choice",
        choices=get_args(ContextName),
        example="training",
        in_file=True,
    )
    select: str | Iterable[str] = option(
        "judging",
        "Only these rules: codes, names or beginnings of codes, such as `BN5`; all by default.",
        default=(),
        help="Only these rules: codes, names or beginnings of codes, such as BN5,BN101.",
        form="words",
        metavar="RULES",
        example=("BN5", "BN101"),
        in_file=True,
    )
    ignore: str | Iterable[str] = option(
        "judging",
        "Not these rules, likewise.",
        default=(),
        form="words",
        metavar="RULES",
        example=("BN201",),
        in_file=True,
    )
    require: str | Iterable[str] = option(
        "judging",
        "Rules that have to be decided, likewise: where one cannot be, `Report.ok` is false and the exit code is 3.",
        default=(),
        help="Rules that have to be decided, likewise: where one cannot be, the exit code is 3.",
        form="words",
        metavar="RULES",
        example=("BN501",),
        in_file=True,
    )
    severity: Mapping[str, Severity | SeverityName] | None = option(
        "judging",
        'Other severities by code, name or beginning of codes, such as `{"BN201": "warning"}`; where several fit a'
        " rule, the longest counts.",
        default=None,
        help="Another severity, as BN201=warning or BN2=info; may be given several times.",
        form="severities",
        metavar="RULE=LEVEL",
        example={"BN201": "warning"},
        in_file=True,
    )
    options: Mapping[str, Mapping[str, int | float]] | None = option(
        "judging",
        "Other numbers for the options of rules, by code or name of the rule, then by name of the option, such as"
        ' `{"BN301": {"minimum_values": 400}}`; `bnlint explain RULE` lists them.',
        default=None,
        help="Another number for an option of a rule, as BN301.minimum_values=100; may be given several times.",
        form="numbers",
        flag="--option",
        metavar="RULE.NAME=NUMBER",
        example={"BN301": {"minimum_values": 400}},
        in_file=True,
    )
    fail_on: Severity | SeverityName | Literal["never"] | None = option(
        "judging",
        "The least severity of a finding that makes `Report.ok` false and the exit code 1, by default `warning`;"
        " `never` for none.",
        default=None,
        help="The least severity that makes the exit code 1; by default warning.",
        form="choice",
        choices=(*get_args(SeverityName), "never"),
        example="error",
        in_file=True,
    )
    profile: str | None = option(
        "settings",
        "Name of a profile to start from, such as `deploy` or `strict`.",
        default=None,
        help="Settings to start from: deploy or strict; see `bnlint rules --profile NAME`.",
        form="text",
        metavar="NAME",
        example="strict",
        in_file=True,
    )
    config: ConfigFile | str | os.PathLike[str] | None = option(
        "settings",
        "A configuration file, over which the other options win; in Python none is looked for.",
        default=None,
        help="The configuration file; without it, bnlint.yaml or pyproject.toml from the current folder upwards.",
        form="text",
        metavar="FILE",
        example="bnlint.yaml",
    )
    rules: Iterable[str | os.PathLike[str]] = option(
        "settings",
        "Folders with further rule files; in a configuration file, relative to it.",
        default=(),
        help="A folder with more rule files; may be given several times.",
        form="folders",
        metavar="DIR",
        example=("lint/rules",),
        in_file=True,
    )
    progress: Callable[[str], None] | None = option(
        "calling",
        "Is told which stage begins: `reading`, `tracing`, `running`, `data`, `facts`, `rules`.",
        default=None,
        one_target=True,
    )

    @property
    def setup(self) -> TrainingSetup:
        """How the model is trained, as far as it is declared here.

        Raises:
            UsageError: If a number is below 1.
        """
        from bnlint.facts.setup import TrainingSetup

        return TrainingSetup(**{name: getattr(self, name) for name in TrainingSetup.__dataclass_fields__})

    def tell(self, stage: str) -> None:
        """Say that a stage begins, to whoever wants to know."""
        if self.progress is not None:
            self.progress(stage)

    def with_loader(self) -> Self:
        """These options, with what the loader declares.

        Raises:
            UsageError: If it is no loader, or declares something else than they do, or if a number is below 1.
        """
        declared = self.setup
        if self.loader is None:
            return self
        from bnlint.facts.loader import setup_of_loader

        return self.replaced(loader=None, **vars(declared.joined_with(setup_of_loader(self.loader))))

    def over(self, weaker: CheckOptions) -> Self:
        """These options, with what they leave open taken from a configuration file.

        Args:
            weaker: The options of the file.
        """
        others = vars(weaker)
        left_open = [name for name in others if getattr(self, name) in (None, self.entries[name].default)]
        return self.replaced(**{name: others[name] for name in left_open})


_JUDGING: Final = ("judging", "settings")


def for_inspect(one: Option) -> bool:
    """Whether an option is one of `bnlint.inspect`, which applies no rule."""
    return one.section not in _JUDGING


def for_many(one: Option) -> bool:
    """Whether an option can hold for several targets, as `bnlint.check_files` takes it."""
    return not one.one_target


def check_options(given: Mapping[str, Any]) -> CheckOptions:
    """The options of `bnlint.check` from keywords.

    Raises:
        UnknownOptionError: If there is no such option; it offers the nearest right name.
    """
    return CheckOptions(**_known(given, CheckOptions.entries))


def inspect_options(given: Mapping[str, Any]) -> CheckOptions:
    """Those of `bnlint.inspect`, likewise."""
    return CheckOptions(**_known(given, _those(for_inspect), "is about rules, and `inspect` applies none"))


def files_options(given: Mapping[str, Any]) -> CheckOptions:
    """Those of `bnlint.check_files`, likewise."""
    return CheckOptions(**_known(given, _those(for_many), "does not apply to many models"))


def _those(belongs: Callable[[Option], bool]) -> dict[str, Option]:
    return {name: one for name, one in CheckOptions.entries.items() if belongs(one)}


def _known(given: Mapping[str, Any], names: Mapping[str, Option], why_not: str = "") -> Mapping[str, Any]:
    for name in given:
        if name in names:
            continue
        from bnlint.ruleset.nearest import alternatives, did_you_mean

        there_are = f"There are {alternatives(names, 'and')}."
        if name in CheckOptions.entries:
            raise UnknownOptionError(f"`{name}` {why_not}.", there_are)
        hint = did_you_mean(name, names)
        raise UnknownOptionError(f"There is no option `{name}`.", f"{hint[:1].upper()}{hint[1:]}" or there_are)
    return given
