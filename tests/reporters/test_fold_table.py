from __future__ import annotations

import json
import math

import msgspec

from bnlint.folding.record import FileRecord, FoldedLayer, FoldRecord, KeptLayer, ProofRecord
from bnlint.reporters.fold_table import FORMATS, failure, render, render_all, render_json
from bnlint.reporters.page.style import Style

PROOF = ProofRecord(True, 2e-7, 1e-7, 3e-15, 1e-3, "layer1.1.bn1", ("1x3x8x8:float32",))


def record(**changes: object) -> FoldRecord:
    blocks = [(stage, block) for stage in range(1, 4) for block in range(2)]
    folds = [
        FoldedLayer(f"layer{s}.{b}.bn1", (f"layer{s}.{b}.conv1",), (), 5e-15 if (s, b) == (1, 1) else 1e-15)
        for s, b in blocks
    ]
    folds.append(FoldedLayer("head.bn", ("head.first", "head.second"), ("head.drop", "flatten"), None))
    kept = [KeptLayer(f"branch{n}.bn", f"branch{n}.conv is called {n} times", "… is called … times") for n in (2, 3)]
    whole = FoldRecord(
        versions={"bnlint": "1", "torch": "2"},
        target="model.pt",
        model="Net",
        folded=FileRecord("folded.pt", "0" * 64),
        form="module",
        folds=tuple(folds),
        kept=(*kept, KeptLayer("last.bn", "nothing uses its output", "nothing uses its output")),
        proof=PROOF,
        notes=("The model was put in eval mode.",),
    )
    return msgspec.structs.replace(whole, **changes)


def cells(text: str) -> list[list[str]]:
    return [[cell for cell in line.split("  ") if cell] for line in text.splitlines()]


def test_layers_with_the_same_fate_stand_in_one_row() -> None:
    rows = [[cell.strip() for cell in row] for row in cells(render(record(), Style(100)))]
    assert ["layer{1..3}.{0,1}.bn1", "layer{1..3}.{0,1}.conv1", "5.0e-15"] in rows
    assert ["head.bn", "head.{first,second}", "drop, flatten"] in rows
    assert ["branch{2,3}.bn (2)"] in rows
    assert ["for example, branch2.conv is called 2 times"] in rows
    assert ["nothing uses its output"] in rows
    assert ["note", "The model was put in eval mode."] in rows


def test_every_layer_stands_in_a_line_of_its_own() -> None:
    lines = [line.split() for line in render_all(record(), Style(40)).splitlines()]
    for fold in record().folds[:-1]:
        assert [fold.layer, "into", *fold.into, f"{fold.error:.1e}"] in lines
    assert ["head.bn", "into", "head.first,", "head.second", "through", "head.drop,", "flatten"] in lines
    assert ["branch3.conv", "is", "called", "3", "times"] in lines


def test_the_verdict() -> None:
    def verdict(changed: FoldRecord) -> str:
        return " ".join(render(changed, Style(200)).splitlines()[-1].split())

    assert verdict(record()) == (
        "verified: the outputs differ by 2.0e-07 of their size (tolerance 1e-03), in float64 by 3.0e-15"
        " · 7 of 10 layers folded · written to folded.pt"
    )
    assert verdict(record(proof=None, folded=None)) == "7 of 10 layers can be folded · nothing was written"
    failed = record(folded=None, proof=msgspec.structs.replace(PROOF, verified=False, max_error=math.inf))
    assert "worst at layer1.1.bn1. Nothing was written." in verdict(failed)
    assert "missing or not finite" in failure(failed)


def test_many_rows_are_cut_and_said_to_be() -> None:
    many = tuple(FoldedLayer(f"{chr(97 + n)}.bn{n}", (f"{chr(97 + n)}.conv{n}",), (), 1e-15) for n in range(20))
    text = render(record(folds=many, kept=()), Style())
    assert "and 8 more layers: --all shows every one" in text
    assert sum("conv" in line for line in text.splitlines()) == 12


def test_json_is_the_record() -> None:
    assert msgspec.json.decode(render_json(record(), Style()), type=FoldRecord) == record()
    assert json.loads(render_json(record(), Style()))["schema"] == "bnlint-fold-v1"
    assert list(FORMATS) == ["full", "json"]


def test_a_name_from_a_file_cannot_act_on_the_terminal() -> None:
    hostile = (FoldedLayer("a\x1b[31m.bn", ("b\nc",), (), None),)
    for text in (render(record(folds=hostile), Style()), render_all(record(folds=hostile), Style())):
        assert "\x1b" not in text
        assert "b\nc" not in text
