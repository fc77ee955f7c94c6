"""The recorder's picture of each BatchNorm equals the one derived from torch.export."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import bnlint
from bnlint.facts.records import FactTable
from bnlint.facts.unknown import UNKNOWN
from tests.zoo.families import FAMILIES, batch_norms, own_images, without_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # torch.export and timm warn about themselves

PICTURE = (
    "layer", "fed_by", "feeds", "calls", "values_per_sample", "input_shape", "channel_axis", "identity_branch",
    "sequence_evidence", "uses_batch_statistics",
)  # fmt: skip


def picture(table: FactTable) -> list[dict[str, Any]]:
    return [{name: getattr(facts, name) for name in PICTURE} for facts in table.norms if facts.kind == "batch_norm"]


@pytest.mark.parametrize("name", FAMILIES.values())
def test_recorded_and_exported_graphs_show_the_same(name: str) -> None:
    """torch.export can trace every one of these models, so none is left out."""
    model = without_weights(name)
    images = own_images(model)
    recorded = bnlint.inspect(model, inputs=(images,))
    exported = bnlint.inspect(torch.export.export(model, (images,), strict=False))
    assert (recorded.model.graph, exported.model.graph) == ("recorded", "exported")
    shown = picture(recorded)
    assert {facts["layer"] for facts in shown} == batch_norms(model)
    assert all(value is not UNKNOWN for facts in shown for value in facts.values())
    assert picture(exported) == shown
