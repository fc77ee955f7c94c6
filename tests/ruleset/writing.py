"""Rule files written for a test."""

from __future__ import annotations

from pathlib import Path

import yaml

from bnlint.ruleset import Rule
from bnlint.ruleset.rule_file import read_rule

PLAIN = """\
code: ACME001
name: momentum-left-at-default
summary: The momentum was never chosen.
severity: warning
contexts: [inference, training]
of: norm
options: { default: 0.1 }
when:
  kind: batch_norm
  momentum: { at_least: $default }
message: "{count:layer} with momentum {momentum}."
why: We choose it for each project.
fix: Set `momentum`.
"""


def write(folder: Path, text: str = PLAIN, name: str = "rule.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def rule_with(tmp_path: Path, **changes: object) -> Rule:
    """The plain rule with some keys replaced."""
    content = yaml.safe_load(PLAIN) | changes
    return read_rule(write(tmp_path, yaml.safe_dump(content, sort_keys=False)), "rule.yaml")
