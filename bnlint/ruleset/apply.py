"""Applies rules to a table of facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bnlint.facts.records import FactTable, ModelFacts, NormFacts, why_unknown
from bnlint.facts.unknown import UNKNOWN, Unknown
from bnlint.facts.vocabulary import OPT_IN, missing_needs, remedy
from bnlint.report import Context, Evidence, FactValue, Finding, NotRun
from bnlint.ruleset.columns import Columns
from bnlint.ruleset.conditions import Record
from bnlint.ruleset.rule import Rule


@dataclass(frozen=True)
class Outcome:
    """What the rules say of a table of facts.

    Attributes:
        findings: By severity, the worst first, then by code.
        not_run: By code, one entry for each set of missing facts.
        passed: Codes of the rules that could be decided on every record and found nothing.
    """

    findings: tuple[Finding, ...]
    not_run: tuple[NotRun, ...]
    passed: tuple[str, ...]


def apply_rules(rules: Sequence[Rule], table: FactTable, context: Context) -> Outcome:
    """Apply rules to a table of facts.

    Args:
        rules: The rules; one that makes no sense in the context is left out of the outcome.
        table: The facts.
        context: What the model is about to do.
    """
    findings: list[Finding] = []
    not_run: list[NotRun] = []
    passed: list[str] = []
    columns = {"norm": Columns(table.norms), "model": Columns((table.model,))}
    for rule in sorted(rules, key=lambda rule: rule.code):
        if not rule.makes_sense(context, table.available):
            continue
        finding, undecided = _apply(rule, columns[rule.of], table)
        if finding is not None:
            findings.append(finding)
        not_run += undecided
        if finding is None and not undecided:
            passed.append(rule.code)
    findings.sort(key=lambda finding: (-finding.severity.rank, finding.code))
    return Outcome(tuple(findings), tuple(not_run), tuple(passed))


def _apply(rule: Rule, columns: Columns, table: FactTable) -> tuple[Finding | None, list[NotRun]]:
    finding: Finding | None = None
    not_run: list[NotRun] = []
    for verdict, records in columns.by_verdict(rule.when).items():
        if verdict.truth is UNKNOWN:
            not_run.append(_not_run(rule, verdict.undecided, columns.layers(records), table))
        elif verdict.truth:
            finding = _finding(rule, records, columns.layers(records))
    return finding, not_run


def _finding(rule: Rule, records: Sequence[Record], layers: tuple[str, ...]) -> Finding:
    return Finding(
        code=rule.code,
        name=rule.name,
        severity=rule.severity,
        message=rule.message.fill(records, len(layers)),
        why=rule.why,
        fix=rule.fix,
        layers=layers,
        evidence=tuple(_evidence(rule, record) for record in records),
        references=rule.references,
    )


def _evidence(rule: Rule, record: Record) -> Evidence:
    layer = record.layer if isinstance(record, NormFacts) else ""
    facts = {name: _shown(getattr(record, name)) for name in rule.facts}
    definition = record.definition if isinstance(record, NormFacts) else record.location
    return Evidence(layer=layer, facts=facts, location=record.location, definition=definition)


def _shown(value: bool | int | float | str | frozenset[str] | tuple[int, ...] | Unknown | None) -> FactValue:
    if isinstance(value, Unknown):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


def _not_run(rule: Rule, missing: tuple[str, ...], layers: tuple[str, ...], table: FactTable) -> NotRun:
    facts = ModelFacts if rule.of == "model" else NormFacts
    needs = missing_needs(missing, facts, table.available)
    supply = remedy(missing, facts, table.available, table.advice) or why_unknown(missing, facts, table)
    return NotRun(
        code=rule.code,
        name=rule.name,
        layers=layers,
        missing=missing,
        remedy=supply or f"bnlint could not determine {', '.join(f'`{name}`' for name in missing)}",
        opt_in=bool(needs) and needs <= OPT_IN,
    )
