"""The JSON Schemas of reports and of folds, generated from the records themselves."""

from __future__ import annotations

import inspect
import re
import sys
from types import ModuleType
from typing import Any, Final

import msgspec

from bnlint import report, summary
from bnlint.folding import record
from bnlint.folding.record import FOLD_SCHEMA, FoldRecord
from bnlint.report import REPORT_SCHEMA, Report
from bnlint.summary import Failure, Summary

LINES_SCHEMA: Final = "bnlint-report-lines-v1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


def report_schema() -> dict[str, Any]:
    """The schema of what the `json` format writes, Draft 2020-12.

    Returns:
        A schema whose descriptions are the docstrings of the records; every property is required, because the format
        leaves none out, and unknown ones are admitted, so that a later minor version can add some.
    """
    root, definitions = _report_components()
    return {"$schema": DIALECT, "$id": REPORT_SCHEMA, "title": "Report of bnlint", **root, "$defs": definitions}


def lines_schema() -> dict[str, Any]:
    """The schema of each line that the `json` format writes for several models, likewise."""
    roots, definitions = zip(
        _report_components(), components(Failure, summary), components(Summary, summary), strict=True
    )
    return {
        "$schema": DIALECT,
        "$id": LINES_SCHEMA,
        "title": "A line of a check of several models by bnlint",
        "description": "A report or a failure for each target, and the summary at the end.",
        "oneOf": list(roots),
        "$defs": {name: schema for group in definitions for name, schema in group.items()},
    }


def _report_components() -> tuple[dict[str, Any], dict[str, Any]]:
    root, definitions = components(Report, report)
    properties = definitions[Report.__name__]["properties"]
    properties["ok"] = {"type": "boolean", "description": "Whether the exit code is 0."}
    properties["exit_code"] = {"enum": [0, 1, 3], "description": inspect.getdoc(Report.exit_code)}
    definitions[Report.__name__]["required"] += ["ok", "exit_code"]
    return root, definitions


def fold_schema() -> dict[str, Any]:
    """The schema of the record of a fold, likewise."""
    root, definitions = components(FoldRecord, record)
    return {"$schema": DIALECT, "$id": FOLD_SCHEMA, "title": "Record of a fold", **root, "$defs": definitions}


def render_schema(schema: dict[str, Any] | None = None) -> str:
    """A schema as the text of its file in `docs/`, by default that of reports."""
    return msgspec.json.format(msgspec.json.encode(schema or report_schema()), indent=2).decode() + "\n"


def components(kind: type, module: ModuleType) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of a record, and those of the records of the same module that it is made of."""
    (root,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for name, definition in definitions.items():
        _describe(definition, getattr(module, name))
    return root, definitions


def _describe(definition: dict[str, Any], kind: type) -> None:
    """Move the descriptions of attributes from the docstring of a record to the properties of its schema."""
    documentation = inspect.getdoc(kind) or ""
    definition["description"] = documentation.partition("\n\n")[0]
    properties = definition.get("properties", {})
    for name, text in _ATTRIBUTE.findall(documentation.partition("Attributes:\n")[2]):
        properties[name]["description"] = " ".join(text.split())
    if properties:
        for schema in properties.values():
            schema.pop("default", None)
        definition["required"] = list(properties)


if __name__ == "__main__":
    makers = {"fold": fold_schema, "lines": lines_schema}
    sys.stdout.write(render_schema(makers.get("".join(sys.argv[1:]), report_schema)()))
