"""The format of rule files: types built from the vocabulary of facts; they validate a file and give its JSON Schema."""

from __future__ import annotations

import enum
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.vocabulary import FactEntry, vocabulary
from bnlint.report import Context, Severity

Text = Annotated[str, Meta(min_length=1)]
Number = int | float
Threshold = Number | Annotated[str, Meta(pattern=r"^\$[a-z][a-z0-9_]*$", description="An option of the rule.")]
Numbers = Annotated[list[Number], Meta(min_length=1)]

RECORDS: dict[str, type] = {"norm": NormFacts, "model": ModelFacts}
"""The record that a rule reads, by the word after `of:`."""

CONNECTIVES = ("all", "any", "not")
"""The keys of a condition that are not facts."""


class Sort(enum.Enum):
    """The sorts of facts, each with the operators that suit it."""

    FLAG = ("true or false", ())
    NUMBER = ("a number", ("in", "not_in", "less_than", "at_most", "more_than", "at_least"))
    NAME = ("a name", ("in", "not_in"))
    NAMES = ("a set of names", ("has", "lacks", "only", "empty"))
    SIZES = ("a list of sizes", ())

    def __init__(self, description: str, operators: tuple[str, ...]) -> None:
        self.description = description
        self.operators = operators


def sort_of(entry: FactEntry) -> Sort:
    """The sort of a fact, from its type."""
    members = _members(entry.type)
    if frozenset[str] in members:
        return Sort.NAMES
    for member, sort in ((bool, Sort.FLAG), (int, Sort.NUMBER), (float, Sort.NUMBER), (str, Sort.NAME)):
        if member in members:
            return sort
    return Sort.SIZES


def _members(annotation: Any) -> set[Any]:
    """The types that make up a union, without the unknown value."""
    if get_origin(annotation) is Literal:
        return set()
    if get_origin(annotation) in {None, frozenset, tuple}:
        return {annotation}
    return set().union(*map(_members, get_args(annotation)))


class NumberOperators(msgspec.Struct, forbid_unknown_fields=True, rename={"in_": "in"}):
    """Comparisons of a number; all of them must hold."""

    in_: Numbers | UnsetType = UNSET
    not_in: Numbers | UnsetType = UNSET
    less_than: Threshold | UnsetType = UNSET
    at_most: Threshold | UnsetType = UNSET
    more_than: Threshold | UnsetType = UNSET
    at_least: Threshold | UnsetType = UNSET


@cache
def _name_type(values: tuple[str, ...]) -> Any:
    return Literal[values] if values else Text


@cache
def _operators(sort: Sort, values: tuple[str, ...], owner: str) -> Any:
    """The operators that may stand in place of a value; `owner` names the fact where it has values of its own."""
    if sort is Sort.NUMBER:
        return NumberOperators
    name: Any = _name_type(values)
    names: Any = Annotated[list[name], Meta(min_length=1)]
    if sort is Sort.NAMES:
        fields = [("has", name | names), ("lacks", name | names), ("only", name | names), ("empty", bool)]
    else:
        fields = [("in_", names), ("not_in", names)]
    return msgspec.defstruct(
        f"{owner}{'Names' if sort is Sort.NAMES else 'Name'}Operators",
        [(key, annotation | UnsetType, UNSET) for key, annotation in fields],
        forbid_unknown_fields=True,
        rename={"in_": "in"},
        module=__name__,
    )


def _condition_type(record: str, entry: FactEntry) -> Any:
    """The type of what may stand behind a fact in a condition."""
    sort, values = sort_of(entry), entry.fact.values
    union: Any = {Sort.FLAG: bool, Sort.NUMBER: Number, Sort.NAME: _name_type(values)}.get(sort)
    if sort.operators:
        owner = record + "".join(word.capitalize() for word in entry.name.split("_")) if values else ""
        operators = _operators(sort, values, owner)
        union = operators if union is None else union | operators
    if NoneType in _members(entry.type):
        union = None if union is None else union | None
    return Annotated[union, Meta(description=entry.fact.doc)]


def _conditions(name: str, record: str) -> Any:
    nested: Any = Annotated[list[name], Meta(min_length=1)]  # type: ignore[valid-type]
    facts = [
        (entry.name, _condition_type(record.capitalize(), entry) | UnsetType, UNSET)
        for entry in vocabulary(RECORDS[record]).values()
    ]
    connectives = [
        ("all_", Annotated[nested, Meta(description="Every one of these holds.")] | UnsetType, UNSET),
        ("any_", Annotated[nested, Meta(description="At least one of these holds.")] | UnsetType, UNSET),
        ("not_", f"{name} | UnsetType", UNSET),
    ]
    return msgspec.defstruct(
        name,
        [*facts, *connectives],
        forbid_unknown_fields=True,
        rename={f"{word}_": word for word in CONNECTIVES},
        namespace={"__doc__": f"Conditions on the facts of a {record} record; all of them must hold."},
        module=__name__,
    )


NormConditions = _conditions("NormConditions", "norm")
ModelConditions = _conditions("ModelConditions", "model")


_DECLARATIONS = ("batch_size", "devices", "accumulate", "dataset_size")
"""The numbers that an example may declare."""


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on which a rule is tried; the tests run it and `bnlint explain` prints it.

    Attributes:
        title: What the example shows.
        code: Python that defines `model`; `torch`, `nn` and `F` (`torch.nn.functional`) are at hand.
        inputs: Inputs as `--input` takes them, such as `2x3x8x8`; bnlint chooses them where there are none.
        batch_size: The declared training batch on each device, in samples.
        devices: The declared number of devices.
        accumulate: The declared number of batches in one step of the optimiser.
        dataset_size: The declared samples in one epoch.
        drop_last: Whether a short last batch is declared to be left out.
        dtype: The declared data type of deployment.
        run: Whether a copy of the model is run.
        padding: How inputs are padded, as `--padding` takes it.
        data: A Python expression for real inputs, over the names that `code` defines; they are run through a copy.
        context: What the model is about to do.
        layers: The layers on which the rule finds something; empty for a good example and for a rule of the model.
    """

    title: Text
    code: Text
    inputs: tuple[Text, ...] = ()
    batch_size: Annotated[int, Meta(ge=1)] | None = None
    devices: Annotated[int, Meta(ge=1)] | None = None
    accumulate: Annotated[int, Meta(ge=1)] | None = None
    dataset_size: Annotated[int, Meta(ge=1)] | None = None
    drop_last: bool = False
    dtype: Literal["float16", "bfloat16"] | None = None
    run: bool = False
    padding: tuple[Text, ...] = ()
    data: str = ""
    context: Context = Context.INFERENCE
    layers: tuple[str, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """What the example declares, as keyword arguments of `bnlint.check`."""
        declared = {name: getattr(self, name) for name in _DECLARATIONS}
        return declared | {
            "inputs": self.inputs or None,
            "context": self.context,
            "drop_last": self.drop_last or None,
            "deploy_dtype": self.dtype,
            "run": self.run or None,
            "padding": self.padding,
        }

    @property
    def command_line(self) -> str:
        """What the example declares, as options of `bnlint check`."""
        given = [f"--input {text}" for text in self.inputs]
        for name in (*_DECLARATIONS, "dtype"):
            value = getattr(self, name)
            given += [] if value is None else [f"--{name.replace('_', '-')} {value}"]
        given += ["--drop-last"] if self.drop_last else []
        given += ["--run"] if self.run else []
        given += [f"--padding {text}" for text in self.padding]
        given += [f"--data <{self.data}>"] if self.data else []
        given += [f"--context {self.context}"] if self.context is not Context.INFERENCE else []
        return " ".join(given)


class Examples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models on which the rule finds something, and near misses on which it does not.

    Attributes:
        bad: The rule finds something.
        good: The rule finds nothing, although it nearly does.
    """

    bad: tuple[Example, ...] = ()
    good: tuple[Example, ...] = ()


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every rule file holds; `of` and `when` come with the record that it reads.

    Attributes:
        code: Letters and three digits; codes that begin with BN belong to bnlint.
        name: The bad pattern in lower-case words, as it reads after "allow".
        summary: One sentence for the list of rules.
        severity: How much a finding matters.
        contexts: In which contexts the rule makes sense.
        also_when_declared: Declarations of a training set-up that make the rule sensible in any context.
        message: What was found. Braces name facts, options (`{$name}`) or the number of layers (`{count:layer}`).
        why: Why it matters.
        fix: What to do. Lines after one that ends in a colon are code.
        false_alarms: Where a finding is known to be no fault, and how to tell.
        options: Numbers that conditions and texts refer to as `$name`.
        references: Papers and threads.
        examples: Models that show the rule.
    """

    code: Annotated[str, Meta(pattern=r"^[A-Z]{2,12}[0-9]{3}$")]
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    summary: Text
    severity: Severity
    contexts: Annotated[tuple[Context, ...], Meta(min_length=1)]
    also_when_declared: tuple[Literal["batch_size", "dataset_size", "accumulate"], ...] = ()
    message: Text
    why: Text
    fix: Text
    false_alarms: Text = ""
    options: dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")], Number] = {}
    references: tuple[Text, ...] = ()
    examples: Examples = Examples()


def _rule_file(name: str, record: str, conditions: Any) -> Any:
    return msgspec.defstruct(
        name,
        [("when", conditions)],
        bases=(RuleFile,),
        namespace={"__doc__": f"A rule on the facts of a {record} record."},
        module=__name__,
        tag_field="of",
        tag=record,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


NormRuleFile = _rule_file("NormRuleFile", "norm", NormConditions)
ModelRuleFile = _rule_file("ModelRuleFile", "model", ModelConditions)

RULE_FILES: dict[str, Any] = {"norm": NormRuleFile, "model": ModelRuleFile}
"""The type of a rule file by the word after `of:`."""


def rule_schema() -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of rule files."""
    schema: dict[str, Any] = msgspec.json.schema(NormRuleFile | ModelRuleFile)
    for definition in schema["$defs"].values():
        if definition.get("type") == "object" and not definition.get("required"):
            definition["minProperties"] = 1  # an empty condition would hold always, and is refused
    schema["$defs"]["Examples"].pop("minProperties")
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bnlint rule file"}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # tuples become lists
    return heading | plain


def schema_text() -> str:
    """The schema as the text of `docs/rule-schema.json`."""
    import json  # only the schema needs it, and start-up time counts

    return json.dumps(rule_schema(), indent=2, ensure_ascii=False) + "\n"
