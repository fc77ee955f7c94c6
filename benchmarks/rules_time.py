"""Prints what the whole catalogue costs beside the trace: collecting facts and applying all rules.

python -m benchmarks.rules_time                                          # a model with 325 BatchNorm layers, and growth
python -m benchmarks.rules_time --write benchmarks/results/rules_time.md
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import bnlint
from benchmarks.growth import INPUTS, chain
from benchmarks.public_models import PublicModel, timm_models
from benchmarks.resident import machine, today
from bnlint.artifacts.artifact import Artifact
from bnlint.facts.collect import collect
from bnlint.report import Context
from bnlint.ruleset import apply_rules, load_rules
from tests.zoo.healthy import healthy

MODELS = ("hrnet_w18", "efficientnet_b0", "densenet121", "resnet50")
"""The first has 325 BatchNorm layers."""

LENGTHS = (100, 1_000)
ROUNDS = 7


@dataclass(frozen=True)
class Cost:
    """Medians of processor seconds.

    Attributes:
        label: The model.
        calls: Normalisation calls in its trace.
        trace: Tracing.
        facts: Collecting the fact table, with the plan of folding.
        rules: Applying all rules in the inference context.
        ratio: The median over the rounds of (facts + rules) ÷ trace, each of one round.
    """

    label: str
    calls: int
    trace: float
    facts: float
    rules: float
    ratio: float


def measure(label: str, model: nn.Module, inputs: object = None, rounds: int = ROUNDS) -> Cost:
    """Times the stages in turns, so that a busy spell of the machine hits all alike."""
    catalogue = load_rules()
    artifact = Artifact(label, "module", module=model)
    trace = bnlint.trace(model, inputs)
    table = collect(artifact, trace)
    stages: Mapping[str, Callable[[], object]] = {
        "trace": lambda: bnlint.trace(model, inputs),
        "facts": lambda: collect(artifact, trace),
        "rules": lambda: apply_rules(catalogue, table, Context.INFERENCE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, stage in stages.items():
            gc.collect()  # else a collection of what an earlier stage left falls into a later one
            start = time.process_time()
            stage()
            seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    turns = zip(seconds["trace"], seconds["facts"], seconds["rules"], strict=True)
    ratio = statistics.median((facts + rules) / tracing for tracing, facts, rules in turns)
    return Cost(label, len(trace.norm_calls), **medians, ratio=ratio)


def _public(name: str) -> nn.Module:
    model: PublicModel = next(iter(timm_models(name)))
    return healthy(model.without_weights())


def _chain(length: int) -> Cost:
    return measure(f"{length:,} conv–BatchNorm pairs", healthy(chain(length)), INPUTS)


def _fused_chain(length: int) -> Cost:
    """The layers of timm that normalise and activate in a forward of their own."""
    from timm.layers.norm_act import BatchNormAct2d

    with torch.device("meta"):
        pairs = [(nn.Conv2d(4, 4, 1), BatchNormAct2d(4)) for _ in range(length)]
    model = nn.Sequential(*(layer for pair in pairs for layer in pair)).eval()
    return measure(f"{length:,} conv–BatchNormAct2d pairs", healthy(model), INPUTS)


def lines(models: list[Cost], chains: list[list[Cost]]) -> list[str]:
    """The tables, as lines of markdown."""
    head = "| model | normalisation calls | trace | facts | rules | (facts + rules) ÷ trace | rules ÷ trace |"
    table = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for cost in itertools.chain(models, *chains):
        times = (f"{seconds * 1000:.1f} ms" for seconds in (cost.trace, cost.facts, cost.rules))
        table.append(
            f"| {cost.label} | {cost.calls:,} | {' | '.join(times)} | **{cost.ratio:.2f}** | "
            f"{cost.rules / cost.trace:.3f} |"
        )
    table += ["", "Cost of a layer in a chain ten times as long (1.00 is linear):", ""]
    for short, long in chains:
        growth = (
            f"{stage} {getattr(long, stage) / getattr(short, stage) * short.calls / long.calls:.2f}"
            for stage in ("trace", "facts", "rules")
        )
        table.append(f"- {long.label}: {', '.join(growth)}")
    return table


def main() -> None:
    """Prints the tables, and writes the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rules_time", description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="markdown file for the page")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    measure("warm up", healthy(chain(20)), INPUTS, 2)
    models = [measure(name, _public(name)) for name in MODELS]
    found = lines(models, [[make(length) for length in LENGTHS] for make in (_chain, _fused_chain)])
    print("\n".join(found))
    if arguments.write is None:
        return
    intro = f"""# What the rules cost

{today()}, {machine()}. Made by `python -m benchmarks.rules_time --write …`; nothing kept other programs from running on
the machine meanwhile.

Medians of processor time in {ROUNDS} rounds, the stages in turns in one process. *Facts* are the whole table with the
plan of folding, *rules* are all {len(load_rules())} rules in the inference context. Reading the rule files is not in
it: that happens once in a process.

"""
    arguments.write.write_text(intro + "\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
