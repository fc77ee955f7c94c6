"""The rules for people: the list of them, and everything about one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from bnlint.grouping import group
from bnlint.report import Context
from bnlint.reporters.full import COLOURS
from bnlint.reporters.page import GUTTER, Page
from bnlint.reporters.style import Style
from bnlint.ruleset import Example, Rule
from bnlint.ruleset.conditions import Comparison, Condition, Every, Negation, Some

_NUMBER_WORDS: Final = {"equals": "is", "not_in": "not in", "less_than": "<", "at_most": "≤", "more_than": ">"} | {
    "at_least": "≥"
}


def render_list(rules: Sequence[Rule], style: Style) -> str:
    """A list of rules: code, severity, name, and a sentence.

    Args:
        rules: The rules in the order to show them.
        style: Width and colour.

    Returns:
        Text with a line break at its end.
    """
    page = Page(style)
    code_width = max((len(rule.code) for rule in rules), default=0) + 2
    for rule in rules:
        severity = Text(f"{rule.severity:<9}", style=COLOURS[rule.severity])
        page.line(Text.assemble((f"{rule.code:<{code_width}}", "bold"), severity, (rule.name, "bold")))
        page.line(rule.summary, label=" ", indent=code_width + 9)
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
    declared = [f"with --{need.name.lower().replace('_', '-')}" for need in rule.also_when_declared]
    contexts = " or ".join([*rule.contexts, *declared])
    contexts = "" if set(rule.contexts) == set(Context) else f" · only for {contexts}"
    about = f" · {rule.source}{contexts}"
    page.line(Text.assemble((rule.severity, COLOURS[rule.severity]), (about, "dim")))
    page.blank()
    page.paragraphs(rule.summary, label="finds")
    page.paragraphs(rule.why, label="why")
    page.paragraphs(rule.fix, label="fix")
    page.blank()
    _condition(page, rule)
    page.paragraphs("\n".join(f"{name} = {value}" for name, value in rule.options.items()), label="options")
    page.verbatim("\n".join(rule.references), label="see")
    for verdict, examples in (("bad", rule.examples.bad), ("good", rule.examples.good)):
        for example in examples:
            page.blank()
            _example(page, verdict, example)
    return page.text()


def _condition(page: Page, rule: Rule) -> None:
    parts = rule.when.parts if isinstance(rule.when, Every) else (rule.when,)
    label = "when"
    for depth, text in (line for part in parts for line in _lines(part, 0)):
        page.line(Text("  " * depth + text), label=label, indent=GUTTER)
        label = ""


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
    given = [f"--input {text}" for text in example.inputs]
    given += [f"--batch-size {example.batch_size}"] if example.batch_size else []
    given += [f"--context {example.context}"] if example.context is not Context.INFERENCE else []
    if given:
        page.line(Text(" ".join(given), style="dim"), label=" ", indent=GUTTER)
    if example.layers:
        page.line(Text(f"finds {group(example.layers)}", style="dim"), label=" ", indent=GUTTER)
