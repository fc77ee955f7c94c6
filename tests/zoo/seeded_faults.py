"""The corpus: at least three variants of every fault that can be seeded, each in a public model."""

from __future__ import annotations

import bnlint
from bnlint.report import Report, Severity
from tests.zoo.faults.deployment import DEPLOYMENT
from tests.zoo.faults.fault import Fault
from tests.zoo.faults.mode import MODE
from tests.zoo.faults.placement import PLACEMENT
from tests.zoo.faults.sequences import SEQUENCES
from tests.zoo.faults.statistics import STATISTICS
from tests.zoo.faults.training_setup import SETUP

FAULTS: tuple[Fault, ...] = (*MODE, *PLACEMENT, *SETUP, *SEQUENCES, *STATISTICS, *DEPLOYMENT)


def report_on(fault: Fault) -> tuple[Report, set[str]]:
    """What bnlint says of a fault, and the layers at which it has to find it."""
    model = fault.model()
    return bnlint.check(model, **fault.arguments), fault.expected(model)


def others(fault: Fault, report: Report) -> set[str]:
    """The codes of errors and warnings besides that of the fault."""
    return {finding.code for finding in report.findings if finding.severity is not Severity.INFO} - {fault.code}
