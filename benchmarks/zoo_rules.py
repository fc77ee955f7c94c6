"""Applies all rules to every public model with a BatchNorm, in good health: each error or warning is a false alarm.

python -m benchmarks.zoo_rules                                          # all of them, a summary on the terminal
python -m benchmarks.zoo_rules 'resnet*'                                # those whose names fit
python -m benchmarks.zoo_rules --write benchmarks/results/zoo_rules.md  # the page for keeps
"""

from __future__ import annotations

import itertools
import sys

import bnlint
from benchmarks.public_models import PublicModel, batch_norms, timm_models, torchvision_models
from benchmarks.sweep import arguments_of, sweep
from benchmarks.zoo_rules_page import Row, page, summary
from tests.zoo.healthy import TRAINING, healthy


def measure(public: PublicModel) -> Row | None:
    """Builds one model and checks it for inference, then for training; whatever fails is in the row.

    Args:
        public: The model.

    Returns:
        The row; `None` for a model without BatchNorm.
    """
    try:
        model = public.without_weights()
    except Exception as error:
        return Row(public.name, public.family, {}, f"its constructor raised {type(error).__name__}: {error}")
    if not batch_norms(model):
        return None
    try:
        model = healthy(model)
        reports = (bnlint.check(model, context="inference"), bnlint.check(model.train(), **TRAINING))
    except Exception as error:
        return Row(public.name, public.family, {}, f"bnlint raised {type(error).__name__}: {error}")
    found = {report.context: {finding.code: len(finding.layers) for finding in report.findings} for report in reports}
    undecided = {
        f"{item.code} was not decided for {report.context}: {item.remedy}"
        for report in reports
        for item in report.not_run
        if not item.opt_in
    }
    partial = {
        f"{report.coverage.graph} for {report.context}: {report.coverage.reason}"
        for report in reports
        if not report.coverage.graph.startswith("recorded")
    }
    not_asked = frozenset(item.code for report in reports for item in report.not_run if item.opt_in)
    return Row(public.name, public.family, found, "; ".join(sorted(partial) or sorted(undecided)), not_asked)


def main() -> None:
    """Prints the summary, and writes the page where asked; ends with 1 after a false alarm or an exception."""
    arguments = arguments_of("benchmarks.zoo_rules", __doc__).parse_args()
    models = itertools.chain(torchvision_models(arguments.pattern), timm_models(arguments.pattern))
    rows = sweep(map(measure, models), arguments, summary, page)
    if any(row.alarms or not row.found for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
