"""The page on which a sweep of all rules over healthy public models is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from benchmarks.resident import machine, today
from bnlint.report import Context, Severity
from bnlint.ruleset import load_rules

RULES = {rule.code: rule for rule in load_rules()}

BUDGET = {"BN201": 0.045, "BN203": 0.146, "BN205": 0.03}
"""The share of 199 published models on which the advice was seen before there was a rule; 0 for errors and warnings."""


@dataclass(frozen=True)
class Row:
    """What was found in one model.

    Attributes:
        name: Name within its package.
        family: Package and module or group.
        found: For each context, the codes found and on how many layers; empty where the model could not be checked.
        note: What failed, or could not be looked at.
        not_asked: The codes of rules for which the model would have to be run.
    """

    name: str
    family: str
    found: Mapping[Context, Mapping[str, int]]
    note: str = ""
    not_asked: frozenset[str] = frozenset()

    @property
    def codes(self) -> frozenset[str]:
        """The codes found in any context."""
        return frozenset(code for findings in self.found.values() for code in findings)

    @property
    def alarms(self) -> list[str]:
        """The codes of errors and warnings."""
        return sorted(code for code in self.codes if RULES[code].severity is not Severity.INFO)


def summary(rows: Sequence[Row]) -> list[str]:
    """The table by rule, the false alarms by model, and what could not be looked at, as lines of markdown."""
    checked = [row for row in rows if row.found]
    counts = Counter(code for row in checked for code in row.codes)
    lines = [
        f"{len(checked)} of {len(rows)} models were checked, for inference and for training.",
        "",
        "| rule | | severity | models: inference | training | either | share | budget |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_of_rule(code, checked) for code in sorted(counts)]
    not_asked = {code for row in checked for code in row.not_asked}
    silent = [code for code in RULES if code not in counts and code not in not_asked]
    lines += ["", f"Silent on every model: {', '.join(silent)}."]
    lines += [f"They need a run of the model or data, and were not asked: {', '.join(sorted(not_asked))}.", ""]
    alarms = [f"- `{row.name}` ({row.family}): {', '.join(row.alarms)}" for row in rows if row.alarms]
    lines += ["Errors and warnings:", "", *alarms] if alarms else ["**No error and no warning on any model.**"]
    notes = [f"- `{row.name}` ({row.family}): {row.note}" for row in rows if row.note]
    return [*lines, "", "Not looked at in full:", "", *notes] if notes else lines


def page(rows: Sequence[Row]) -> str:
    """The whole page: date, machine, how to make it, the summary, and the models of each piece of advice."""
    intro = f"""# All rules on healthy public models

{today()}, {machine()}, timm {version("timm")}, torchvision {version("torchvision")}.
Made by `make zoo`.

Every model of timm and torchvision with a BatchNorm. It is built on the meta device; normalisation layers then get
plausible random values in memory, as training would leave them. Each model is checked twice: in eval mode for
inference, and in training mode for training with a batch of 64 out of 1,281,167 samples. An error or a warning would be
a false alarm. *Budget* is the share of 199 published models on which the pattern was seen before the rule was written;
what folding says (BN601, BN602) is true of every model and has none.

"""
    advised = [
        f"## {code} {RULES[code].name}\n\n{_names(code, rows)}\n"
        for code in sorted({code for row in rows for code in row.codes})
        if not code.startswith("BN6")
    ]
    return "\n".join([intro + "\n".join(summary(rows)), "", *advised])


def _of_rule(code: str, rows: Sequence[Row]) -> str:
    found = [row for row in rows if code in row.codes]
    rule = RULES[code]
    budget = BUDGET.get(code) if rule.severity is Severity.INFO else 0.0
    cells = [
        code,
        rule.name,
        str(rule.severity),
        *(str(sum(code in row.found[context] for row in found)) for context in Context),
        str(len(found)),
        f"{len(found) / len(rows):.1%}",
        "–" if budget is None else f"{budget:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _names(code: str, rows: Sequence[Row]) -> str:
    counts = {row.name: max(findings.get(code, 0) for findings in row.found.values()) for row in rows if row.found}
    return ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
