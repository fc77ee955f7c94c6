from __future__ import annotations

import re

import pytest

from bnlint.report import Coverage, Evidence
from bnlint.reporters.page.style import Style
from bnlint.reporters.report.concise import render as concise
from bnlint.reporters.report.full import render as full
from tests.reporters.reports import NEEDS_BATCH_SIZE, NEEDS_MODULE, NEEDS_RUN, full_report, never_updated, report

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_finding_is_told_once_with_all_it_needs() -> None:
    text = flat(full(report(findings=(never_updated(),)), Style(80)))
    assert text.count("BN501") == 1
    for part in (
        "error BN501 never-updated-statistics",
        "layers bn1, layer{1,4}.{0..2}.bn{1..3}",
        "(53)",
        "torchvision/models/resnet.py:269 x = self.bn1(x)",
        "and 2 more lines",
        "batches_counted=0",
        "why In eval mode",
        "fix Load the statistics too",
    ):
        assert part in text, part


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_and_have_no_trailing_space(width: int) -> None:
    for line in full(full_report(), Style(width)).splitlines():
        assert len(line) <= width
        assert line == line.rstrip()


def test_colour_is_only_paint() -> None:
    plain, coloured = full(full_report(), Style(80)), full(full_report(), Style(80, colour=True))
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    assert [line.rstrip() for line in ESCAPE.sub("", coloured).splitlines()] == plain.splitlines()


def test_evidence_that_differs_is_shown_by_layer() -> None:
    text = full(full_report(), Style(120))
    assert "layer4.0.bn1: values_per_channel=196" in text
    assert "layer4.0.bn{2,3}: values_per_channel=49" in text
    assert "and 1 more with other values" in text
    assert "values_per_channel=47" not in text


def test_what_did_not_run_is_folded_by_remedy() -> None:
    text = flat(full(report(not_run=(NEEDS_MODULE, *NEEDS_BATCH_SIZE)), Style(120)))
    assert "BN301, BN302 on 53 layers: give `--batch-size N`" in text
    assert text.count("--batch-size") == 1
    assert "BN101 on 53 layers: give the whole model" in text


def test_what_was_not_asked_for_is_one_quiet_line() -> None:
    text = full(report(not_run=NEEDS_RUN), Style(120))
    assert "opt-in   BN110, BN111: give `--run` · BN402: give `--padding AXIS`\n" in text
    assert "not run" not in text
    assert text.splitlines()[-1] == "clean · 53 layers · 3 rules passed · 3 not asked for"
    assert concise(report(not_run=NEEDS_RUN), Style()) == ""


def verdict(**changes: object) -> str:
    return full(report(**changes), Style(120)).splitlines()[-1]


def test_clean_is_said_only_when_every_rule_ran() -> None:
    assert verdict() == "clean · 53 layers · 3 rules passed"
    assert verdict(not_run=NEEDS_BATCH_SIZE) == "nothing found · 53 layers · 3 rules passed · 2 did not run"
    assert verdict(not_run=NEEDS_BATCH_SIZE, passed=()).startswith("nothing could be said")
    assert verdict(unanalysed=("It could not.",)) == "nothing found · 53 layers · 3 rules passed · 1 failed"
    assert verdict(unanalysed=("It could not.",), passed=()).startswith("nothing could be said")


def test_verdict_counts_by_severity() -> None:
    last = full(full_report(), Style(120)).splitlines()[-1]
    assert last == "1 error, 1 warning, 1 info · 53 layers · 3 rules passed · 3 did not run · 1 failed"


def test_header_says_what_was_looked_at_and_what_was_assumed() -> None:
    head = flat("".join(full(report(), Style(120)).splitlines(keepends=True)[:3]))
    assert head.startswith("resnet50.pt · ResNet · 53 BatchNorm layers for inference")
    assert "traced with 1x3x224x224:float32 (assumed, see --input)" in head


def test_header_of_weights_alone() -> None:
    coverage = Coverage(
        form="state_dict", layers=3, kinds={"batch_norm": 2, "layer_norm": 1}, notes=("read from the key `model`",)
    )
    text = full(report(coverage=coverage), Style(120))
    assert "resnet50.pt · 2 BatchNorm, 1 LayerNorm layers" in text
    assert "not traced" in text
    assert "read from the key `model`" in text


def test_header_counts_layers_whose_kind_names_do_not_tell() -> None:
    some = Coverage(form="state_dict", layers=3, kinds={"unknown": 2, "batch_norm": 1})
    assert "· 1 BatchNorm layer, 2 normalisation layers of unknown kind" in full(report(coverage=some), Style(120))
    all_of_them = Coverage(form="state_dict", layers=1, kinds={"unknown": 1})
    assert "· 1 normalisation layer of unknown kind" in full(report(coverage=all_of_them), Style(120))


def test_header_says_when_layers_were_not_called() -> None:
    coverage = Coverage(form="module", model="GoogLeNet", graph="recorded", layers=59, layers_called=57)
    assert "57 of 59 layers called" in full(report(coverage=coverage), Style(120))


def test_a_hostile_name_cannot_act_on_the_terminal() -> None:
    finding = never_updated()
    layer = "bn\x1b[2J\n1"
    hostile = type(finding)(
        **{
            **{name: getattr(finding, name) for name in finding.__struct_fields__},
            "layers": (layer,),
            "evidence": (Evidence(layer, {"dtype": "\x07"}),),
        }
    )
    for name, render in {"full": full, "concise": concise}.items():
        text = render(report(findings=(hostile,), target="a\rb"), Style(80))
        assert not set(text) & set("\x1b\x07\r"), name
        assert "bn\\x1b[2J\\n1" in text


def test_the_header_names_what_was_declared() -> None:
    declared = {"batch_size": 4, "devices": 8, "accumulate": 2, "dataset_size": 1000, "drop_last": True}
    header = full(report(**declared, deploy_dtype="float16"), Style(width=200)).splitlines()[1]
    for words in ("batch size 4", "8 devices", "gradients of 2", "1000 samples", "last batch dropped", "in float16"):
        assert words in header


def test_header_counts_calls_where_the_model_has_no_layer() -> None:
    coverage = Coverage(form="module", graph="recorded", calls=2, layers=0, kinds={"batch_norm": 2})
    head = flat(full(report(coverage=coverage), Style(120)))
    assert "2 calls outside the layers of the model" in head
    assert "of 0 layers" not in head
