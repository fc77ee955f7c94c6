"""The JSON Schema of fact tables, generated from the vocabulary."""

from __future__ import annotations

import sys
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.report import Location
from bnlint.reporters.facts.json import FACTS_SCHEMA
from bnlint.reporters.facts.values import NOT_FINITE
from bnlint.reporters.schema import DIALECT, components, render_schema

_LOCATIONS: Final = {
    "location": "The user's line of the call, or where the class is defined.",
    "definition": "The class outside torch that the layer is a part of.",
}


def facts_schema() -> dict[str, Any]:
    """The schema of what `bnlint inspect --format json` writes, Draft 2020-12.

    Returns:
        A schema whose descriptions are those of `bnlint facts`. Every fact is required, because the format leaves none
        out, and unknown properties are admitted, so that a later minor version can add facts.
    """
    _, definitions = components(Location, sys.modules[Location.__module__])
    definitions["ModelFacts"] = _record(ModelFacts, ("location",))
    definitions["NormFacts"] = _record(NormFacts, tuple(_LOCATIONS))
    properties = {
        "schema": {"const": FACTS_SCHEMA, "description": f"Always `{FACTS_SCHEMA}`."},
        "version": {"type": "string", "description": "Version of bnlint."},
        "model": {"$ref": "#/$defs/ModelFacts", "description": "The model as a whole."},
        "norms": {
            "type": "array",
            "items": {"$ref": "#/$defs/NormFacts"},
            "description": "One record for each normalisation call in call order, then one for each layer that was "
            "never called.",
        },
    }
    heading = {"$schema": DIALECT, "$id": FACTS_SCHEMA, "title": "Fact table of bnlint"}
    return heading | {"type": "object", "properties": properties, "required": list(properties), "$defs": definitions}


def _record(record: type, locations: tuple[str, ...]) -> dict[str, Any]:
    properties = {name: _fact(entry) for name, entry in vocabulary(record).items()}
    for name in locations:
        anything = [{"$ref": "#/$defs/Location"}, {"type": "null"}]
        properties[name] = {"anyOf": anything, "description": _LOCATIONS[name]}
    description = (record.__doc__ or "").partition("\n\n")[0]
    return {"type": "object", "description": description, "properties": properties, "required": list(properties)}


def _fact(entry: FactEntry) -> dict[str, Any]:
    return {"description": entry.fact.doc, "anyOf": _types(entry.type, entry.fact.values)}


def _types(annotation: Any, values: tuple[str, ...]) -> list[dict[str, Any]]:
    """The schemas of the members of a type; the unknown value is a text."""
    origin = get_origin(annotation)
    if origin is Literal:
        return [{"const": UNKNOWN.value}]
    if origin is frozenset:
        (item,) = _types(str, values)
        return [{"type": "array", "items": item, "uniqueItems": True}]
    if origin is tuple:
        return [{"type": "array", "items": {"type": "integer"}}]
    if origin is not None or get_args(annotation):
        return [schema for member in get_args(annotation) for schema in _types(member, values)]
    if annotation is str:
        return [{"enum": list(values)} if values else {"type": "string"}]
    if annotation is float:
        return [{"type": "number"}, {"enum": list(NOT_FINITE)}]
    return [{"type": {bool: "boolean", int: "integer", NoneType: "null"}[annotation]}]


if __name__ == "__main__":
    sys.stdout.write(render_schema(facts_schema()))
