"""Prints the JSON Schema of rule files: `python -m bnlint.ruleset > docs/rule-schema.json`."""

from __future__ import annotations

import sys

from bnlint.ruleset.schema import schema_text

if __name__ == "__main__":
    sys.stdout.write(schema_text())
