"""Reports made by hand, as a check of a ResNet-50 would give them."""

from __future__ import annotations

from typing import Any

from bnlint.report import Context, Coverage, Evidence, FactValue, Finding, Location, NotRun, Report, Severity

FORWARD = Location("torchvision/models/resnet.py", 269, "_forward_impl", "x = self.bn1(x)")
BLOCK = (
    Location("torchvision/models/resnet.py", 147, "forward", "out = self.bn1(out)"),
    Location("torchvision/models/resnet.py", 151, "forward", "out = self.bn2(out)"),
    Location("torchvision/models/resnet.py", 155, "forward", "out = self.bn3(out)"),
)
DOWNSAMPLE = Location("torchvision/models/resnet.py", 158, "forward", "identity = self.downsample(x)")


def resnet_layers() -> dict[str, Location]:
    layers = {"bn1": FORWARD}
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            for index, location in enumerate(BLOCK, start=1):
                layers[f"layer{stage}.{block}.bn{index}"] = location
            if block == 0:
                layers[f"layer{stage}.{block}.downsample.1"] = DOWNSAMPLE
    return layers


def never_updated() -> Finding:
    facts: dict[str, FactValue] = {
        "kind": "batch_norm",
        "statistics_at_initial_values": True,
        "has_batch_counter": True,
        "batches_counted": 0,
    }
    return Finding(
        code="BN501",
        name="never-updated-statistics",
        severity=Severity.ERROR,
        message="The running statistics of 53 layers were never updated: mean 0, variance 1, no batch counted.",
        why="In eval mode these layers pass their input on almost unchanged, so the output is not that of the network"
        " that was trained.",
        fix="Load the statistics too: `model.load_state_dict(torch.load('model.pth'))` with `strict=True`.",
        layers=tuple(resnet_layers()),
        evidence=tuple(Evidence(layer, facts, location) for layer, location in resnet_layers().items()),
        references=("https://github.com/cleinc/bts/issues/90",),
    )


def too_few_values() -> Finding:
    values = {"layer4.0.bn1": 196, "layer4.0.bn2": 49, "layer4.0.bn3": 49, "layer4.1.bn1": 48, "layer4.1.bn2": 47}
    return Finding(
        code="BN301",
        name="too-few-values-per-channel",
        severity=Severity.WARNING,
        message="At batch size 1, 5 layers compute their statistics from 47 to 196 values a channel.",
        why="The fewer values, the noisier the statistics: below 784 values ResNet-50 loses accuracy.",
        fix="Train with a larger batch on each device, or use `nn.SyncBatchNorm` or `nn.GroupNorm`.",
        layers=tuple(values),
        evidence=tuple(Evidence(k, {"values_per_channel": v, "batch_size": 1}, BLOCK[0]) for k, v in values.items()),
    )


def not_traced() -> Finding:
    return Finding(
        code="BN001",
        name="not-traced",
        severity=Severity.INFO,
        message="The model could not be traced: no input is known.",
        why="Rules on placement need the graph.",
        fix="Give an input: `--input 1x3x224x224`.",
        layers=(),
        evidence=(Evidence("", {"graph": "none", "can_be_traced": True}),),
    )


NEEDS_BATCH_SIZE = tuple(
    NotRun(code, name, tuple(resnet_layers()), ("values_per_channel",), "give `--batch-size N`, the training batch")
    for code, name in (("BN301", "too-few-values-per-channel"), ("BN302", "one-value-per-channel"))
)
NEEDS_MODULE = NotRun(
    "BN101",
    "model-in-training-mode",
    tuple(resnet_layers()),
    ("training", "model_training"),
    "give the whole model (a pickled model with `--trust`, or an import string), not only its weights",
)
NEEDS_RUN = tuple(
    NotRun(code, "", (), ("statistics_move_in_eval",), remedy, opt_in=True)
    for code, remedy in (
        ("BN110", "give `--run`, or `run=True` in Python"),
        ("BN111", "give `--run`, or `run=True` in Python"),
        ("BN402", "give `--padding AXIS`, the axis"),
    )
)


def report(**changes: Any) -> Report:
    """A report on a ResNet-50: without changes, one in which every rule ran and found nothing."""
    values: dict[str, Any] = {
        "version": "0.1.0",
        "target": "resnet50.pt",
        "context": Context.INFERENCE,
        "batch_size": None,
        "coverage": Coverage(
            form="pickled_module",
            model="ResNet",
            graph="recorded",
            inputs="1x3x224x224:float32",
            inputs_assumed=True,
            layers=53,
            layers_called=53,
            calls=53,
            kinds={"batch_norm": 53},
        ),
        "findings": (),
        "not_run": (),
        "passed": ("BN101", "BN102", "BN201"),
    }
    return Report(**values | changes)


def full_report() -> Report:
    """A report with something of everything."""
    return report(
        findings=(never_updated(), too_few_values(), not_traced()),
        not_run=(NEEDS_MODULE, *NEEDS_BATCH_SIZE),
        unanalysed=("The input 1x4x224x224 was rejected by the model: expected 3 channels, got 4.",),
    )
