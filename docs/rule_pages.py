"""Writes `docs/rules/`: a page for each rule and an index, with what bnlint really says of the examples.

python -m docs.rule_pages
"""

from __future__ import annotations

import contextlib
import linecache
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn

import bnlint
from bnlint.errors import UsageError
from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.vocabulary import vocabulary
from bnlint.report import Report
from bnlint.reporters.page.style import Style
from bnlint.reporters.report import concise, full
from bnlint.reporters.rule_pages import condition_text, when_it_runs
from bnlint.ruleset import Example, Rule, load_rules

FOLDER: Final = Path(__file__).parent / "rules"
FAMILIES: Final = {
    "BN0": "bnlint itself",
    "BN1": "Mode",
    "BN2": "Placement",
    "BN3": "Batch size",
    "BN4": "Sequence models",
    "BN5": "Running statistics",
    "BN6": "Deployment and folding",
}
_DEFAULT: Final = Example(title="-", code="-").arguments
_NOTE: Final = "Written by `make docs` from the files in [rules/](../../rules); change those."
_FILE: Final = "example.py"


def pages() -> dict[str, str]:
    """The text of each file of `docs/rules/`, by its name."""
    rules = load_rules()
    return {"README.md": index(rules)} | {f"{rule.code}.md": page(rule) for rule in rules}


def index(rules: tuple[Rule, ...]) -> str:
    """The list of rules, by family."""
    lines = ["# Rules", "", _NOTE, "", "Settings of rules: [configuration](../configuration.md).", ""]
    for prefix, family in FAMILIES.items():
        own = [rule for rule in rules if rule.code.startswith(prefix)]
        if own:
            lines += [f"## {prefix}xx {family}", "", "| code | name | severity | finds |", "| --- | --- | --- | --- |"]
            lines += [f"| [{r.code}]({r.code}.md) | {r.name} | {r.severity} | {_cell(r.summary)} |" for r in own]
            lines.append("")
    return "\n".join(lines)


def page(rule: Rule) -> str:
    """Everything about one rule."""
    parts = [
        f"# {rule.code} {rule.name}",
        f"**{rule.severity}** · {when_it_runs(rule)} · [rules/{rule.code}.yaml](../../rules/{rule.code}.yaml)"
        " · [all rules](README.md)",
        f"## What it finds\n\n{rule.summary}\n\n```text\n{condition_text(rule)}\n```",
        f"## What it needs\n\n{_needs(rule)}",
        f"## Why it matters\n\n{_markdown(rule.why)}",
        f"## How to fix it\n\n{_markdown(rule.fix)}",
        *([f"## Known false alarms\n\n{_markdown(rule.false_alarms)}"] if rule.false_alarms else []),
        f"## How to silence it\n\n{_silence(rule)}",
        *([_options(rule)] if rule.options else []),
        *([f"## References\n\n{_bullets(map(_link, rule.references))}"] if rule.references else []),
        "## Bad examples",
        *(_bad(rule, example, whole=place == 0) for place, example in enumerate(rule.examples.bad)),
        "## Good examples",
        *(_good(rule, example) for example in rule.examples.good),
    ]
    return "\n\n".join(parts) + "\n"


def _needs(rule: Rule) -> str:
    if not rule.needs:
        return "Nothing: the facts that it reads are always known."
    entries = vocabulary(ModelFacts if rule.of == "model" else NormFacts)
    lines = []
    for need in rule.needs:
        facts = ", ".join(f"`{fact}`" for fact in rule.when.facts if need in entries[fact].fact.needs)
        lines.append(f"{need.name.lower().replace('_', ' ').capitalize()}, for {facts}: {need.value}")
    return f"{_bullets(lines)}\n\nWhere one is missing and matters, the rule is reported as not run, not as passed."


def _silence(rule: Rule) -> str:
    code = rule.code
    return (
        f"`--ignore {code}`, in Python `ignore='{code}'`; to keep it as advice, `--severity {code}=info`. For the whole"
        f" project, in `bnlint.yaml`:\n\n```yaml\nignore: [{code}]\n```"
    )


def _options(rule: Rule) -> str:
    name, value = next(iter(rule.options.items()))
    rows = "\n".join(f"| `{option}` | {number} |" for option, number in rule.options.items())
    return (
        f"## Options\n\n| option | default |\n| --- | --- |\n{rows}\n\n`--option {rule.code}.{name}={value}`, or in"
        f" `bnlint.yaml`:\n\n```yaml\noptions:\n  {rule.code}: {{ {name}: {value} }}\n```"
    )


def _bad(rule: Rule, example: Example, *, whole: bool) -> str:
    code, report = run(rule, example)
    assert isinstance(report, Report)
    said = full.render(report, Style()) if whole else concise.render(report, Style())
    return f"### {example.title}\n\n```python\n{code}```\n\n```text\n{said.rstrip()}\n```"


def _good(rule: Rule, example: Example) -> str:
    code, report = run(rule, example)
    *_, verdict = (full.render(report, Style()) if isinstance(report, Report) else str(report)).rstrip().splitlines()
    return f"### {example.title}\n\n```python\n{code}```\n\n```text\n{verdict}\n```"


def run(rule: Rule, example: Example) -> tuple[str, Report | UsageError]:
    """An example with the call of bnlint as its last line, and the report of that call.

    An example that shows in which context the rule is silent leaves nothing to check, which is an error.

    Args:
        rule: The only rule to apply.
        example: The example; its code comes from bnlint's own rule files.
    """
    declared = {name: _written(value) for name, value in example.arguments.items() if value != _DEFAULT[name]}
    declared |= {"data": example.data} if example.data else {}
    written = "".join(f", {name}={text}" for name, text in declared.items())
    code = f'{example.code.strip()}\nreport = bnlint.check(model{written}, select="{rule.code}")\n'
    # Reports name lines of code, and find them by file name.
    linecache.cache[_FILE] = (len(code), None, code.splitlines(keepends=True), _FILE)
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "bnlint": bnlint, "__name__": "example"}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # examples may write files
        try:
            exec(compile(code, _FILE, "exec"), names)
        except UsageError as error:
            return code, error
    return code, names["report"]


def _written(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return _written(value[0]) if len(value) == 1 else f"({', '.join(map(_written, value))})"
    return repr(value)


def _markdown(text: str) -> str:
    """A text of a rule file; lines after one that ends in a colon are code."""
    prose, colon, code = text.partition(":\n")
    return f"{prose}:\n\n```python\n{code}\n```" if colon else text


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _link(reference: str) -> str:
    return f"<{reference}>" if reference.startswith("https://") else reference


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the pages, and remove those whose rule is gone."""
    FOLDER.mkdir(exist_ok=True)
    texts = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{FOLDER.name}/: {len(texts)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
