"""The format for grep and editors: one line for each layer of each finding, one for what rules lack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bnlint.report import Evidence, Finding, Report
from bnlint.reporters.page.style import Style, facts_text, layer_name, place
from bnlint.reporters.report.format import Format, nothing
from bnlint.summary import Failure
from bnlint.text import printable


def render(report: Report, style: Style) -> str:  # noqa: ARG001 - all formats are called alike
    """The report as lines such as `model.pt:bn1: BN502 error non-finite-statistics: … [nonfinite_tensors=bias]`.

    All rules that did not run for want of the same thing have one line, with `not-run` behind their codes; what could
    not be analysed has `not-analysed`. No line at all means that every rule ran and found nothing, apart from those
    that need `--run`, `--padding` or `--data`.

    Args:
        report: What to show.
        style: Not used: the lines are the same everywhere.

    Returns:
        Lines, each ending in a line break.
    """
    target = printable(report.target)
    lines = [line for finding in report.findings for line in _finding(target, finding)]
    lines += [f"{target}: {line}" for line in _not_run(report)]
    return "".join(f"{line}\n" for line in lines) + "".join(
        _not_analysed(report.target, why) for why in report.unanalysed
    )


def _result(result: Report | Failure, style: Style) -> str:
    return render(result, style) if isinstance(result, Report) else _not_analysed(result.target, result.sentence)


def _not_analysed(target: str, why: str) -> str:
    return f"{printable(target)}: not-analysed: {_one_line(why)}\n"


def _not_run(report: Report) -> Iterator[str]:
    by_remedy: dict[str, dict[str, None]] = {}
    for item in report.not_run:
        if not item.opt_in:
            by_remedy.setdefault(item.remedy, {})[item.code] = None
    for remedy, codes in by_remedy.items():
        yield f"{','.join(codes)} not-run: {_one_line(remedy)}"


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


FORMAT: Final = Format(nothing, _result, nothing, alone=render, sums_up=False)
