"""The format for people: findings with their reasons and remedies, what did not run, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from bnlint.report import Coverage, Evidence, FactValue, Finding, NotRun, Report, Severity
from bnlint.reporters.page.grouping import summarise
from bnlint.reporters.page.page import GUTTER, Page
from bnlint.reporters.page.style import COLOURS, Style, counted, facts_text, place
from bnlint.reporters.report.format import Format, nothing, sentence
from bnlint.summary import Failure, Summary
from bnlint.text import printable

LOCATIONS_SHOWN: Final = 3
EVIDENCE_SHOWN: Final = 3
LINES_OF_LAYERS: Final = 3
_KINDS: Final = {
    "batch_norm": "BatchNorm",
    "instance_norm": "InstanceNorm",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "rms_norm": "RMSNorm",
    "local_response_norm": "LocalResponseNorm",
}


def render(report: Report, style: Style) -> str:
    """The report for a person to read.

    Args:
        report: What to show.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    _header(page, report)
    for finding in report.findings:
        page.blank()
        _finding(page, finding, style.width)
    if report.not_run or report.unanalysed:
        page.blank()
    _not_run(page, report)
    _unanalysed(page, report)
    page.blank()
    page.line(verdict(report))
    return page.text()


def _header(page: Page, report: Report) -> None:
    coverage = report.coverage
    first = Text(printable(report.target), style="bold")
    for part in (coverage.model, _layers_by_kind(coverage)):
        if part and part != report.target:
            first.append(f" · {printable(part)}", style="not bold")
    page.line(first)
    declared = "".join(f", {text}" for text in _declared(report))
    settings = f" · settings: {printable(', '.join(report.settings))}" if report.settings else ""
    page.line(Text(f"for {report.context}{declared}{settings} · {_graph(coverage)}", style="dim"))
    for note in (coverage.reason, *coverage.notes):
        if note:
            page.line(Text(printable(note), style="dim"), label="  note")


def _declared(report: Report) -> Iterator[str]:
    """What was declared of training and deployment."""
    if report.batch_size is not None:
        yield f"batch size {report.batch_size}"
    if report.devices is not None:
        yield counted(report.devices, "device")
    if report.accumulate is not None:
        yield f"gradients of {report.accumulate} accumulated"
    if report.dataset_size is not None:
        yield f"{counted(report.dataset_size, 'sample')} an epoch"
    if report.drop_last:
        yield "short last batch dropped"
    if report.deploy_dtype is not None:
        yield f"deployed in {report.deploy_dtype}"


def _layers_by_kind(coverage: Coverage) -> str:
    if not coverage.layers:
        return "no normalisation layer"
    kinds = sorted(coverage.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    known = [(number, _KINDS[kind]) for kind, number in kinds if kind in _KINDS]
    text = ", ".join(f"{number} {name}" for number, name in known)
    parts = [f"{text} {'layer' if sum(number for number, _ in known) == 1 else 'layers'}"] if known else []
    parts += [
        f"{counted(number, 'normalisation layer')} of {kind} kind" for kind, number in kinds if kind not in _KINDS
    ]
    return ", ".join(parts)


def _graph(coverage: Coverage) -> str:
    """How the graph came about, and what was assumed for it."""
    inputs = f" with {printable(coverage.inputs)}" if coverage.inputs else ""
    inputs += " (assumed, see --input)" if coverage.inputs and coverage.inputs_assumed else ""
    called = ""
    if coverage.calls and not coverage.layers:
        called = f" · {counted(coverage.calls, 'call')} outside the layers of the model"
    elif coverage.graph != "none" and coverage.layers_called != coverage.layers:
        called = f" · {coverage.layers_called} of {counted(coverage.layers, 'layer')} called"
    texts = {
        "recorded": f"traced{inputs}",
        "recorded_with_values": f"traced with real values{inputs}",
        "symbolic": "traced symbolically, without shapes",
        "partial": f"traced in part{inputs}",
        "exported": "graph of the exported program",
        "none": "not traced",
    }
    return texts.get(coverage.graph, coverage.graph) + called


def _finding(page: Page, finding: Finding, width: int) -> None:
    colour = COLOURS[finding.severity]
    title = Text.assemble((finding.code, "bold"), " ", finding.name)
    page.line(title, label=Text(finding.severity, style=colour))
    page.paragraphs(finding.message)
    if finding.layers:
        count = f" ({len(finding.layers)})" if len(finding.layers) > 1 else ""
        room = (width - GUTTER) * LINES_OF_LAYERS - len(count)
        names = printable(summarise(finding.layers, room))
        page.line(Text.assemble((names, "green"), (count, "dim")), label="  layers")
    _locations(page, finding)
    _evidence(page, finding, width)
    page.paragraphs(finding.why, label="  why")
    page.paragraphs(finding.fix, label="  fix")


def _locations(page: Page, finding: Finding) -> None:
    label = "  where"
    locations = finding.locations
    shown = locations[:LOCATIONS_SHOWN]
    widest = max((len(place(location)) for location in shown), default=0)
    for location in shown:
        text = Text.assemble((f"{place(location):<{widest}}  ", "dim"), printable(location.code))
        page.clipped(text, label=label)
        label = ""
    left = len(locations) - len(shown)
    if left:
        page.line(Text(f"and {counted(left, 'more line')}", style="dim"), label="", indent=GUTTER)


def _evidence(page: Page, finding: Finding, width: int) -> None:
    """The facts behind the finding: first those that all layers share, then the others for the first few values."""
    shared = _shared(finding)
    by_facts: dict[str, list[str]] = {}
    for item in finding.evidence:
        own = {name: value for name, value in item.facts.items() if name not in shared}
        by_facts.setdefault(facts_text(own), []).append(item.layer)
    label = "  facts"
    if shared:
        page.line(Text(facts_text(shared)), label=label)
        label = ""
    if len(by_facts) < 2:
        return
    for facts, layers in list(by_facts.items())[:EVIDENCE_SHOWN]:
        names = printable(summarise(layers, width - GUTTER))
        page.line(Text.assemble((f"{names}: ", "green"), facts), label=label, indent=GUTTER)
        label = ""
    left = sum(map(len, list(by_facts.values())[EVIDENCE_SHOWN:]))
    if left:
        page.line(Text(f"and {left} more with other values", style="dim"), indent=GUTTER)


def _shared(finding: Finding) -> dict[str, FactValue]:
    """The facts that have the same value in all of the evidence."""
    first, *others = (item.facts for item in finding.evidence or (Evidence("", {}),))
    missing = object()
    return {name: value for name, value in first.items() if all(facts.get(name, missing) == value for facts in others)}


def _not_run(page: Page, report: Report) -> None:
    """One line for each remedy: what "could not look" would take."""
    by_remedy: dict[str, list[NotRun]] = {}
    for item in report.not_run:
        if not item.opt_in:
            by_remedy.setdefault(item.remedy, []).append(item)
    label = "not run"
    for remedy, items in by_remedy.items():
        layers = {layer for item in items for layer in item.layers}
        where = counted(len(layers), "layer") if layers else "the model"
        codes = ", ".join(dict.fromkeys(item.code for item in items))
        page.line(f"{codes} on {where}: {remedy}", label=label, indent=GUTTER)
        label = ""
    _opt_in(page, report)


def _opt_in(page: Page, report: Report) -> None:
    """One quiet line on the rules that would run code of the model, which the user has not asked for."""
    by_remedy: dict[str, dict[str, None]] = {}
    for item in report.not_run:
        if item.opt_in:
            by_remedy.setdefault(item.remedy.partition(",")[0], {})[item.code] = None
    if by_remedy:
        parts = (f"{', '.join(codes)}: {remedy}" for remedy, codes in by_remedy.items())
        page.line(Text(" · ".join(parts), style="dim"), label=Text("opt-in", style="dim"), indent=GUTTER)


def _unanalysed(page: Page, report: Report) -> None:
    label = Text("failed", style="bold red")
    for item in report.unanalysed:
        page.line(item, label=label, indent=GUTTER)
        label = Text()


def verdict(report: Report) -> Text:
    """One line that never calls clean what was not looked at."""
    not_run = len({item.code for item in report.not_run if not item.opt_in})
    parts: list[Text | str] = [_found(report, not_run), counted(report.coverage.layers, "layer")]
    parts.append(f"{counted(len(report.passed), 'rule')} passed")
    if not_run:
        parts.append(f"{not_run} did not run")
    opt_in = len({item.code for item in report.not_run if item.opt_in})
    if opt_in:
        parts.append(f"{opt_in} not asked for")
    if report.unanalysed:
        parts.append(f"{len(report.unanalysed)} failed")
    return Text(" · ").join(Text() + part for part in parts)


def _found(report: Report, not_run: int) -> Text:
    found = []
    for severity in Severity:
        number = sum(finding.severity is severity for finding in report.findings)
        if number:
            noun = f"{number} info" if severity is Severity.INFO else counted(number, severity)
            found.append(Text(noun, style=COLOURS[severity]))
    if found:
        return Text(", ").join(found)
    open_questions = not_run or report.unanalysed
    if open_questions and not report.passed:
        return Text("nothing could be said", style="bold yellow")
    return Text("nothing found", style="bold") if open_questions else Text("clean", style="bold green")


def _among_others(result: Report | Failure, style: Style) -> str:
    """A line for a model without findings and for a failure; else the whole report, set off by blank lines."""
    page = Page(style)
    if isinstance(result, Failure):
        page.line(Text.assemble(("failed", "bold red"), f" {printable(result.sentence)}"))
        return page.text()
    if result.findings or result.unanalysed:
        return f"\n{render(result, style)}\n"
    page.line(Text.assemble((printable(result.target), "bold"), ": ", verdict(result)))
    return page.text()


def _sum(summary: Summary, style: Style) -> str:
    page = Page(style)
    page.blank()
    page.line(Text(sentence(summary), style="bold"))
    return page.text()


FORMAT: Final = Format(nothing, _among_others, _sum, alone=render)
