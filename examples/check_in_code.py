"""Checks a model before it is exported, and stops where it is not ready.

Run it with `python examples/check_in_code.py`; it needs nothing but PyTorch and bnlint.
"""

from __future__ import annotations

import torch
from torch import nn

import bnlint


def build() -> nn.Module:
    """A small CNN as a training script leaves it: it has seen a few batches, and is still in training mode."""
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 16, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Linear(16, 10),
    )
    for _ in range(5):
        model(torch.randn(8, 3, 32, 32))
    return model


def show(report: bnlint.Report) -> None:
    print(f"exit code {report.exit_code}, ok: {report.ok}")
    for finding in report.findings:
        print(f"  {finding.code} {finding.name} ({finding.severity}) at {', '.join(finding.layers) or 'the model'}")
        for evidence in finding.evidence:
            print(f"    evidence: {evidence.facts}")


def main() -> None:
    torch.manual_seed(0)
    model = build()
    images = torch.zeros(1, 3, 32, 32)

    print("As training left it:")
    report = bnlint.check(model, inputs=(images,))
    show(report)
    assert not report.ok

    print("After model.eval():")
    report = bnlint.check(model.eval(), inputs=(images,))
    show(report)
    assert report.ok

    print("Can it be trained with one image on each device?")
    report = bnlint.check(model.train(), inputs=(images,), context="training", batch_size=1)
    show(report)

    assert any(finding.name == "one-value-per-channel" for finding in report.findings)

    trace = bnlint.trace(model, inputs=(images,))
    print(f"The graph behind it ({trace.how}): {[node.name for node in trace.graph.nodes]}")


if __name__ == "__main__":
    main()
