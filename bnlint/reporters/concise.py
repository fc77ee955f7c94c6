"""The format for grep and editors: one line for each layer of each finding, one for each rule that did not run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bnlint.report import Evidence, Finding, Report
from bnlint.reporters.style import Style, counted, facts_text, layer_name, place, printable


def render(report: Report, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The report as lines such as `model.pt:bn1: BN502 error non-finite-statistics: … [nonfinite_tensors=bias]`.

    Rules that did not run have `not-run` in the place of the severity, and what could not be analysed has
    `not-analysed`; no line at all means that every rule ran and found nothing, apart from those that need `--run`,
    `--padding` or `--data`.

    Args:
        report: What to show.
        style: Not used: the lines are the same everywhere.

    Returns:
        Lines, each ending in a line break.
    """
    not_run = []
    for item in report.not_run:
        if item.opt_in:
            continue
        where = f" ({counted(len(item.layers), 'layer')})" if item.layers else ""
        not_run.append(f"{item.code} not-run {item.name}{where}: {_one_line(item.remedy)}")
    return _lines(report, not_run)


def render_among_others(report: Report) -> str:
    """The same, but with one line for all rules that did not run for want of the same thing.

    Args:
        report: One of many, which would otherwise repeat themselves.

    Returns:
        Lines, each ending in a line break.
    """
    by_remedy: dict[str, dict[str, None]] = {}
    for item in report.not_run:
        if not item.opt_in:
            by_remedy.setdefault(item.remedy, {})[item.code] = None
    return _lines(report, [f"{','.join(codes)} not-run: {_one_line(remedy)}" for remedy, codes in by_remedy.items()])


def not_analysed(target: str, why: str) -> str:
    """A line on what could not be done.

    Args:
        target: What it is about.
        why: One sentence or two.
    """
    return f"{printable(target)}: not-analysed: {_one_line(why)}\n"


def _lines(report: Report, not_run: Iterable[str]) -> str:
    target = printable(report.target)
    lines = [line for finding in report.findings for line in _finding(target, finding)]
    lines += [f"{target}: {line}" for line in not_run]
    return "".join(f"{line}\n" for line in lines) + "".join(
        not_analysed(report.target, why) for why in report.unanalysed
    )


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
