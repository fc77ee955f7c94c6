"""The rules for people: the list of them, and everything about one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.text import Text

from bnlint.facts.vocabulary import Need
from bnlint.report import Context
from bnlint.reporters.page.grouping import group
from bnlint.reporters.page.page import GUTTER, Page
from bnlint.reporters.page.style import COLOURS, Style
from bnlint.ruleset import Adjusted, Example, Rule
from bnlint.ruleset.conditions import Comparison, Condition, Every, Negation, Some

_NUMBER_WORDS: Final = {"equals": "is", "not_in": "not in", "less_than": "<", "at_most": "≤", "more_than": ">"} | {
    "at_least": "≥"
}


def render_list(rules: Adjusted, style: Style) -> str:
    """A list of rules: code, severity, name, a sentence, contexts and needs.

    Args:
        rules: The rules in the order to show them; one that is not chosen is off.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    code_width = max((len(rule.code) for rule in rules.rules), default=0) + 2
    for rule in rules.rules:
        severity = Text(f"{rule.severity:<9}", style=COLOURS[rule.severity])
        if rule.code not in rules.chosen:
            severity = Text(f"{'off':<9}", style="dim")
        page.line(Text.assemble((f"{rule.code:<{code_width}}", "bold"), severity, (rule.name, "bold")))
        page.line(rule.summary, label=" ", indent=code_width + 9)
        about = f"{when_it_runs(rule)} · needs {needs(rule)}{' · required' if rule.code in rules.required else ''}"
        page.line(Text(about, style="dim"), label=" ", indent=code_width + 9)
    return page.text()


def render_rule(rule: Rule, style: Style) -> str:
    """Everything that the file of a rule says, with its examples.

    Args:
        rule: The rule.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    page.line(Text.assemble((f"{rule.code} {rule.name}", "bold")))
    about = f" · {rule.source} · {when_it_runs(rule)} · needs {needs(rule)}"
    page.line(Text.assemble((rule.severity, COLOURS[rule.severity]), (about, "dim")))
    page.blank()
    page.paragraphs(rule.summary, label="finds")
    page.paragraphs(rule.why, label="why")
    page.paragraphs(rule.fix, label="fix")
    page.paragraphs(rule.false_alarms, label="unless")
    page.blank()
    _condition(page, rule)
    page.paragraphs("\n".join(f"{name} = {value}" for name, value in rule.options.items()), label="options")
    page.verbatim("\n".join(rule.references), label="see")
    for verdict, examples in (("bad", rule.examples.bad), ("good", rule.examples.good)):
        for example in examples:
            page.blank()
            _example(page, verdict, example)
    return page.text()


def when_it_runs(rule: Rule) -> str:
    """In which contexts a rule runs, such as `for inference` or `for training or with --batch-size`."""
    if set(rule.contexts) == set(Context):
        return "for inference and training"
    declared = [f"with --{need.name.lower().replace('_', '-')}" for need in Need if need in rule.also_when_declared]
    return " or ".join([f"for {' or '.join(rule.contexts)}", *declared])


def needs(rule: Rule) -> str:
    """What must be at hand to decide a rule, such as `module, graph`; `nothing` if it always can be."""
    return ", ".join(need.name.lower().replace("_", " ") for need in rule.needs) or "nothing"


def _condition(page: Page, rule: Rule) -> None:
    label = "when"
    for line in condition_text(rule).splitlines():
        page.line(Text(line), label=label, indent=GUTTER)
        label = ""


def condition_text(rule: Rule) -> str:
    """What must hold for a finding, a line for each comparison, with what belongs together indented."""
    parts = rule.when.parts if isinstance(rule.when, Every) else (rule.when,)
    return "\n".join("  " * depth + text for part in parts for depth, text in _lines(part, 0))


def _lines(condition: Condition, depth: int) -> Iterator[tuple[int, str]]:
    """A condition as lines, each with its depth."""
    if isinstance(condition, Comparison):
        operator = _NUMBER_WORDS.get(condition.operator, condition.operator)
        yield depth, f"{condition.fact} {operator} {_operand(condition)}"
        return
    parts: tuple[Condition, ...] = ()
    if isinstance(condition, Every):
        heading, parts = "all of", condition.parts
    elif isinstance(condition, Some):
        heading, parts = "any of", condition.parts
    elif isinstance(condition, Negation):
        heading, parts = "not", (condition.part,)
    yield depth, heading
    for part in parts:
        yield from _lines(part, depth + 1)


def _operand(condition: Comparison) -> str:
    value: Any = condition.operand
    if condition.option:
        return f"{value} (option {condition.option})"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, frozenset | set | tuple | list):
        return " or ".join(map(str, sorted(value)))
    return str(value)


def _example(page: Page, verdict: str, example: Example) -> None:
    style = "red" if verdict == "bad" else "green"
    page.line(Text(example.title, style="bold"), label=Text(verdict, style=style), indent=GUTTER)
    page.verbatim(example.code)
    if example.command_line:
        page.line(Text(example.command_line, style="dim"), label=" ", indent=GUTTER)
    if example.layers:
        page.line(Text(f"finds {group(example.layers)}", style="dim"), label=" ", indent=GUTTER)
