"""What bnlint says: the report and its parts, all frozen, without torch.

These records are also the format `bnlint-report-v1`: the JSON Schema in `docs/` is generated from them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

REPORT_SCHEMA: Final = "bnlint-report-v1"

FactValue = bool | int | float | str | None | Sequence[str | int]
"""A fact as a report shows it; an unknown one is the string `unknown`."""


class Severity(enum.StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The deployed model gives wrong or batch-dependent output."""
    WARNING = "warning"
    """Likely harm."""
    INFO = "info"
    """Advice, or a missed gain."""

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error."""
        return (Severity.INFO, Severity.WARNING, Severity.ERROR).index(self)

    def reaches(self, other: Severity) -> bool:
        """Whether this severity is at or above `other`."""
        return self.rank >= other.rank


class Context(enum.StrEnum):
    """What the model is about to do; only the user knows."""

    INFERENCE = "inference"
    TRAINING = "training"


class Location(msgspec.Struct, frozen=True, order=True):
    """A line of source code.

    Attributes:
        file: Path relative to the import root or the current folder, never absolute.
        line: Line number, from 1.
        function: Name of the function that the line is in; empty where unknown.
        code: The line's text, stripped; empty where the source cannot be read.
    """

    file: str
    line: int
    function: str = ""
    code: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """The facts that the conditions of a rule read on one layer.

    Attributes:
        layer: Path of the layer in the model, empty for the model itself.
        facts: Fact name to value, in the order in which the rule reads them.
        location: Where the layer is called, or where its class is defined.
        definition: The class outside torch that the layer is a part of; its name stands as the function.
    """

    layer: str
    facts: dict[str, FactValue]
    location: Location | None = None
    definition: Location | None = None


class Finding(msgspec.Struct, frozen=True):
    """One rule that holds on one or more layers.

    Attributes:
        code: Rule code, such as `BN501`.
        name: Rule name, such as `never-updated-statistics`.
        severity: Severity after the user's overrides.
        message: What was found, with the evidence filled in.
        why: Why it matters.
        fix: What to do.
        layers: Paths of the layers in model order, each once; empty for a finding on the model.
        evidence: One entry for each record on which the rule holds.
        references: Papers and threads.
    """

    code: str
    name: str
    severity: Severity
    message: str
    why: str
    fix: str
    layers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    references: tuple[str, ...] = ()

    @property
    def locations(self) -> tuple[Location, ...]:
        """The distinct source lines of the evidence, in model order."""
        return tuple(dict.fromkeys(item.location for item in self.evidence if item.location is not None))


class NotRun(msgspec.Struct, frozen=True):
    """A rule that could not be decided on some layers: "could not look" is never "clean".

    Attributes:
        code: Rule code.
        name: Rule name.
        layers: The layers on which the rule did not run; empty for the model.
        missing: Names of the facts that were unknown.
        remedy: What would supply them, such as "give `--batch-size N`".
        opt_in: Whether all that is missing is a run of the model's code, which bnlint does not do unasked.
    """

    code: str
    name: str
    layers: tuple[str, ...]
    missing: tuple[str, ...]
    remedy: str
    opt_in: bool = False


class Coverage(msgspec.Struct, frozen=True):
    """What bnlint could look at.

    Attributes:
        form: Form of the target, such as `state_dict`, `safetensors`, `module`.
        model: Class name of the model; empty where the target holds none.
        graph: How the graph came about (`recorded`, `symbolic`, `none` …).
        reason: Why there is no better graph; empty where there is nothing to say.
        inputs: The inputs of the traced run, such as `1x3x224x224:float32`; empty where none was run.
        inputs_assumed: Whether bnlint chose these inputs itself.
        layers: Normalisation layers in the target.
        layers_called: Of these, those that the traced run called.
        calls: Normalisation calls in the traced run.
        kinds: Number of normalisation layers of each kind; `unknown` where names of weights fit several.
        notes: Further remarks on how the target was read.
    """

    form: str
    model: str = ""
    graph: str = "none"
    reason: str = ""
    inputs: str = ""
    inputs_assumed: bool = False
    layers: int = 0
    layers_called: int = 0
    calls: int = 0
    kinds: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check.

    Attributes:
        schema: Always `bnlint-report-v1`.
        version: Version of bnlint.
        target: What was checked, as the user named it, or the class of a live model.
        context: What the model was declared to be for.
        settings: Where settings come from besides the arguments, the weakest first: a profile, a file.
        batch_size: Declared training batch size for each device, in samples.
        devices: Declared number of devices that train together.
        accumulate: Declared number of batches in one step of the optimiser.
        dataset_size: Declared samples in one epoch, over all devices.
        drop_last: Whether a short last batch was declared to be left out.
        deploy_dtype: Declared data type of deployment.
        coverage: What could be looked at.
        findings: By severity, then by code.
        not_run: Rules that could not be decided, by code.
        passed: Codes of the rules that ran on every record and found nothing.
        unanalysed: What was asked for by name and could not be done; each makes the exit code 3.
        fail_on: The severity from which a finding makes the exit code 1; null for never.
    """

    schema: Literal["bnlint-report-v1"] = REPORT_SCHEMA
    version: str
    target: str
    context: Context
    settings: tuple[str, ...] = ()
    batch_size: int | None
    devices: int | None = None
    accumulate: int | None = None
    dataset_size: int | None = None
    drop_last: bool | None = None
    deploy_dtype: str | None = None
    coverage: Coverage
    findings: tuple[Finding, ...]
    not_run: tuple[NotRun, ...]
    passed: tuple[str, ...]
    unanalysed: tuple[str, ...] = ()
    fail_on: Severity | None = Severity.WARNING

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings at or above `fail_on`, 3 something asked for could not be analysed; 1 beats 3."""
        threshold = self.fail_on
        if threshold is not None and any(finding.severity.reaches(threshold) for finding in self.findings):
            return 1
        return 3 if self.unanalysed else 0

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.exit_code == 0
