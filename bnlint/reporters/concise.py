"""The format for grep and editors: one line for each layer of each finding, one for each rule that did not run."""

from __future__ import annotations

from collections.abc import Iterator

from bnlint.report import Evidence, Finding, Report
from bnlint.reporters.style import Style, counted, facts_text, layer_name, place, printable


def render(report: Report, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The report as lines such as `model.pt:bn1: BN502 error non-finite-statistics: … [nonfinite_tensors=bias]`.

    Rules that did not run have `not-run` in the place of the severity, and what could not be analysed has
    `not-analysed`; no line at all means that every rule ran and found nothing.

    Args:
        report: What to show.
        style: Not used: the lines are the same everywhere.

    Returns:
        Lines, each ending in a line break.
    """
    target = printable(report.target)
    lines = [line for finding in report.findings for line in _finding(target, finding)]
    for item in report.not_run:
        where = f" ({counted(len(item.layers), 'layer')})" if item.layers else ""
        lines.append(f"{target}: {item.code} not-run {item.name}{where}: {_one_line(item.remedy)}")
    lines += [f"{target}: not-analysed: {_one_line(item)}" for item in report.unanalysed]
    return "".join(f"{line}\n" for line in lines)


def _finding(target: str, finding: Finding) -> Iterator[str]:
    evidence: dict[str, Evidence] = {}
    for item in finding.evidence:
        evidence.setdefault(item.layer, item)
    text = f"{finding.code} {finding.severity} {finding.name}: {_one_line(finding.message)}"
    for layer in finding.layers or ("",):
        yield f"{target}:{layer_name(layer)}: {text}{_facts(evidence.get(layer))}"


def _facts(item: Evidence | None) -> str:
    """The facts of a layer's first call in brackets, and the place of the call in parentheses."""
    if item is None:
        return ""
    facts = facts_text(item.facts)
    where = f" ({place(item.location)})" if item.location is not None else ""
    return (f" [{facts}]" if facts else "") + where


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
