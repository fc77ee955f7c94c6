"""The same model tells the same facts through every form in which it is kept; what a form does not hold is unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pytest

from bnlint.facts.records import ModelFacts, NormFacts
from bnlint.facts.unknown import UNKNOWN
from bnlint.facts.vocabulary import vocabulary
from tests.parity.case import Case
from tests.parity.forms import FORMS, Form
from tests.parity.notes import NOTES
from tests.parity.shelf import Shelf, look
from tests.parity.table import cells

CHEAP: Final = ("known code", "whole model", "state_dict", "TorchScript, scripted", "TorchScript, traced")
ONE_OF_EACH: Final = (*CHEAP, "exported program", "ONNX")

CASES: Final = [
    *(("small", form) for form in FORMS),
    *(("small in training", form) for form in ONE_OF_EACH),
    *(("odd", form) for form in FORMS if form != "TorchScript, scripted"),  # which SyncBatchNorm cannot be
    *(("resnet18", form) for form in ONE_OF_EACH),
    *(("mobilenet_v2", form) for form in CHEAP),
    *(("efficientnet", form) for form in (*CHEAP, "exported program")),
]

NOT_SHOWN: Final[dict[tuple[str, str], dict[str, str]]] = {
    ("small", "weights"): {"scale": "has no tensor"},
    ("small in training", "weights"): {"scale": "has no tensor"},
    ("odd", "whole"): {"": "a function is code"},
    ("odd", "weights"): {"": "a function is code", "local": "has no tensor", "plain_instance": "has no tensor"},
    ("odd", "traced"): {"": "a function is no layer"},
    ("odd", "program"): {"local": "its arithmetic is written out"},
    ("odd", "onnx"): {"local": "its arithmetic is written out", "never": "what is not called is left out"},
}
"""The layers that a form does not show, each with the reason."""
SHOWN_BY_VERSIONS: Final = ("plain_instance",)
"""The layers without a tensor that the versions of a state_dict show all the same."""

NEEDS_VALUES: Final[dict[str, Callable[[NormFacts], object]]] = {
    "batches_counted": lambda norm: norm.has_batch_counter,
    "statistics_at_initial_values": lambda norm: norm.has_running_statistics,
    "negative_variances": lambda norm: norm.has_running_statistics,
    "zero_variances": lambda norm: norm.has_running_statistics,
    "channels_scaled_by_eps": lambda norm: norm.has_running_statistics,
    "others_with_statistics": lambda norm: norm.has_running_statistics,
    "affine_at_initial_values": lambda norm: norm.affine_at_initial_values is not None,
    "zero_scale_share": lambda norm: norm.affine,
    "nonfinite_tensors": lambda norm: norm.dtype,
    "range_exceeded_by": lambda norm: norm.dtype,
    "usual_batches_counted": lambda _: True,
    "batches_counted_ratio": lambda _: True,
}
"""Facts that take values, which pickles of protocols 0 to 2 do not hold: of which layers."""


def by_layer(norms: Iterable[NormFacts], prefix: str = "") -> dict[str, list[NormFacts]]:
    found: dict[str, list[NormFacts]] = defaultdict(list)
    for norm in norms:
        assert norm.layer.startswith(prefix)
        found[norm.layer.removeprefix(prefix)].append(norm)
    return found


def pairs(found: Sequence[NormFacts], live: Sequence[NormFacts]) -> Iterable[tuple[NormFacts, NormFacts]]:
    """Calls of a layer in order; a form without a graph has one record for all of them."""
    return zip(found, live, strict=True) if len(found) != 1 else ((found[0], record) for record in live)


def expected(fact: str, live: Any, case: Case, form: Form) -> Any:
    """What the table says that a form tells."""
    cell = cells()[fact][form.column]
    if cell == ".":
        return UNKNOWN
    if not form.values and fact in NEEDS_VALUES and NEEDS_VALUES[fact](case.norm):
        return UNKNOWN
    if cell == "=":
        return live
    note = NOTES[cell]
    return UNKNOWN if note.unknown(case) or live is UNKNOWN else note.value(case, live)


def differences(record: NormFacts | ModelFacts, says: Mapping[str, Any]) -> dict[str, str]:
    """Where a record is not what the table says."""
    found = {fact: getattr(record, fact) for fact in says}
    return {fact: f"{found[fact]}, not {says[fact]}" for fact in says if found[fact] != says[fact]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "form_name"), CASES, ids=[f"{name} - {form}" for name, form in CASES])
def test_a_form_tells_what_the_table_says(name: str, form_name: str, shelf: Shelf) -> None:
    form = FORMS[form_name]
    subject, live = shelf.subject(name), shelf.live(name)
    table = look(shelf.written(form, subject), subject, **form.arguments(subject))
    of_live, of_form = by_layer(live.norms), by_layer(table.norms, form.prefix)
    hidden = set(NOT_SHOWN.get((name, form.column), ())) - set(SHOWN_BY_VERSIONS if form.versions else ())
    assert set(of_live) - set(of_form) == hidden
    assert set(of_form) <= set(of_live)
    shown = frozenset(of_form)
    for layer, records in of_form.items():
        for record, reference in pairs(records, of_live[layer]):
            case = Case(form, reference, live, shown)
            facts = vocabulary(NormFacts)
            says = {fact: expected(fact, getattr(reference, fact), case, form) for fact in facts}
            says["layer"] = form.prefix + layer
            assert differences(record, says) == {}, layer
    if form.column == "code":
        assert table.available == live.available
        assert [norm.location for norm in table.norms] == [norm.location for norm in live.norms]
    case = Case(form, None, live, shown)
    facts = vocabulary(ModelFacts)
    says = {fact: expected(f"model.{fact}", getattr(live.model, fact), case, form) for fact in facts}
    assert differences(table.model, says) == {}


def test_every_fact_has_a_row_and_every_note_a_cell() -> None:
    facts = [*vocabulary(NormFacts), *(f"model.{fact}" for fact in vocabulary(ModelFacts))]
    assert list(cells()) == facts
    used = {cell for row in cells().values() for cell in row.values()}
    assert used - {"=", "."} == set(NOTES)


def test_every_form_has_a_column_and_every_column_a_form() -> None:
    assert {form.column for form in FORMS.values()} == {column for row in cells().values() for column in row}


REFERENCE: Final[dict[str, dict[str, Any]]] = {
    "bn1": {
        "class_name": "BatchNorm2d", "spatial_dims": 2, "training": True, "model_training": False, "eps": 1e-3,
        "momentum": 0.01, "uses_batch_statistics": True, "ignores_eval": False, "parameters_frozen": True,
        "channels": 8, "dtype": "float32", "batches_counted": 1000, "fed_by": {"convolution"}, "feeds": {"activation"},
        "bias_before": set(), "input_shape": (2, 8, 12, 12), "values_per_channel": 16 * 12 * 12,
    },
    "bn_plain": {"affine": False, "affine_at_initial_values": None, "bias_before": {"conv2"}, "foldable": True},
    "bn_stateless": {
        "has_running_statistics": False, "uses_batch_statistics": True, "training": False, "ignores_eval": True,
        "has_batch_counter": False, "statistics_at_initial_values": None, "foldable": False,
    },
    "bn_cumulative": {"momentum": None, "fed_by": {"activation"}, "foldable": False},
    "bn_after_dropout": {"dropout_before": 0.3, "fed_by": {"normalisation"}},
    "group_norm": {"kind": "group_norm", "eps": 1e-6, "momentum": None, "foldable": None, "mixes_samples": None},
    "instance_norm": {
        "kind": "instance_norm", "has_running_statistics": True, "statistics_at_initial_values": True,
        "uses_batch_statistics": False, "batches_counted": 0,
    },
    "scale": {"kind": "layer_norm", "affine": False, "channels": None, "dtype": None},
    "bn_head": {
        "spatial_dims": 1, "batches_counted": 2000, "usual_batches_counted": 1000, "batches_counted_ratio": 2.0,
        "fed_by": {"linear"}, "values_per_channel": 16, "bias_before": {"fc1"},
    },
}  # fmt: skip
"""A few facts of the small model, by hand: what the live model says is right."""


@pytest.mark.filterwarnings("ignore")
def test_the_live_model_tells_what_was_built(shelf: Shelf) -> None:
    found = by_layer(shelf.live("small").norms)
    assert list(found) == [
        "bn1", "bn_plain", "bn_stateless", "bn_cumulative", "bn_after_dropout", "group_norm", "instance_norm",
        "layer_norm", "scale", "bn_head",
    ]  # fmt: skip
    for layer, facts in REFERENCE.items():
        assert {fact: getattr(found[layer][0], fact) for fact in facts} == facts


@pytest.mark.filterwarnings("ignore")
def test_every_fact_is_known_of_some_live_model(shelf: Shelf) -> None:
    """Else a cell that says that a form holds it would compare the unknown with the unknown."""
    tables = [shelf.live(name) for name in ("small", "odd", "mobilenet_v2")]
    records = [norm for table in tables for norm in table.norms]
    assert {fact for fact in vocabulary(NormFacts) if all(getattr(norm, fact) is UNKNOWN for norm in records)} == set()
    assert all(getattr(table.model, fact) is not UNKNOWN for fact in vocabulary(ModelFacts) for table in tables[-1:])
