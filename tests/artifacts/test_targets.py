"""Which models names of files, folders and patterns stand for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bnlint.artifacts.targets import Target, find_targets, is_no_model, is_one_target
from bnlint.errors import UsageError


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*names: str, content: str = "text") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


def names(*given: str) -> list[str]:
    return [target.name for target in find_targets(given)]


def test_folders_are_searched_to_any_depth_without_what_is_hidden() -> None:
    write("runs/b.pt", "runs/deep/er/a.pt", "runs/.git/object.pt", "runs/.hidden.pt")
    assert names("runs") == names("runs/") == ["runs/b.pt", "runs/deep/er/a.pt"]
    assert all(target.found for target in find_targets(["runs"]))


def test_what_is_named_twice_is_one_target_and_the_order_is_that_of_names() -> None:
    write("runs/b.pt", "runs/a.pt", "z.pt")
    assert names("z.pt", "./runs/b.pt", "runs", "runs/*.pt") == ["runs/a.pt", "runs/b.pt", "z.pt"]
    assert Target("runs/b.pt", found=False) in find_targets(["runs/b.pt", "runs"])


def test_patterns() -> None:
    write("runs/1/last.pt", "runs/2/last.pt", "runs/2/best.safetensors", "odd[1].pt")
    assert names("runs/*/last.pt") == ["runs/1/last.pt", "runs/2/last.pt"]
    assert names("runs/**/*.safetensors") == ["runs/2/best.safetensors"]
    assert names("runs/[2]") == ["runs/2/best.safetensors", "runs/2/last.pt"]
    assert names("odd[1].pt") == ["odd[1].pt"]
    with pytest.raises(UsageError, match=r"No file matches `runs/\*\.onnx`\."):
        names("runs/1/*", "runs/*.onnx")


def test_patterns_of_any_depth_follow_no_links_to_folders(tmp_path: Path) -> None:
    write("runs/1/last.pt", "runs/1/.hidden/old.pt", "runs/2/deep/last.pt", "runs/[3]/last.pt", "top.pt")
    Path("runs/1/up").symlink_to("..", target_is_directory=True)
    Path("runs/latest").symlink_to("1", target_is_directory=True)
    everywhere = ["runs/1/last.pt", "runs/2/deep/last.pt", "runs/[3]/last.pt"]
    assert names("runs/**/*.pt") == names("runs/**/**/*.pt") == names("./runs/**/last.pt") == everywhere
    assert names("**/*.pt") == [*everywhere, "top.pt"]
    assert names("**/deep/*.pt") == ["runs/2/deep/last.pt"]
    assert names(f"{tmp_path}/**/last.pt") == [f"{tmp_path}/{name}" for name in everywhere]
    assert names("runs/*/last.pt") == ["runs/1/last.pt", "runs/[3]/last.pt", "runs/latest/last.pt"]
    assert names("r*/**/latest/*.pt") == ["runs/latest/last.pt"]
    assert names("runs/**") == names("runs/[!l]*/**") == everywhere
    with pytest.raises(UsageError, match="No file matches"):
        names("none/**/*.pt")


def test_import_strings_and_missing_files_stay_as_they_are() -> None:
    assert names("torchvision.models:resnet18", "missing/./x.pt") == ["missing/./x.pt", "torchvision.models:resnet18"]


def test_a_folder_of_a_library_is_one_target_and_folders_in_it_are_others() -> None:
    write("hub/bert/config.json", "hub/bert/model.safetensors", "hub/bert/optimizer.pt")
    write("hub/bert/checkpoint-5/config.json", "hub/bert/checkpoint-5/pytorch_model.bin")
    write("hub/dcp/.metadata", "hub/dcp/__0_0.distcp", "hub/loose/model.safetensors", "hub/loose/other.pt")
    assert names("hub") == [
        "hub/bert",
        "hub/bert/checkpoint-5",
        "hub/dcp",
        "hub/loose/model.safetensors",
        "hub/loose/other.pt",
    ]
    assert names("hub/bert") == ["hub/bert"]


def test_shards_belong_to_their_index() -> None:
    shards = {"a": "net-1.safetensors", "b": "net-2.safetensors"}
    write("runs/net-1.safetensors", "runs/net-2.safetensors", "runs/alone.safetensors")
    write("runs/net.safetensors.index.json", content=json.dumps({"weight_map": shards}))
    assert names("runs") == ["runs/alone.safetensors", "runs/net.safetensors.index.json"]
    assert names("runs/*.safetensors") == names("runs/net-1.safetensors", "runs/alone.safetensors") == names("runs")
    assert not any(map(is_no_model, find_targets(["runs"])))


def test_only_a_folder_a_pattern_and_several_names_are_many() -> None:
    write("a.pt", "odd[1].pt", "hub/config.json", "hub/model.safetensors", "runs/b.pt")
    for one in ("a.pt", "missing.pt", "odd[1].pt", "hub", "package.module:name"):
        assert is_one_target((one,)), one
    for many in (("runs",), ("*.pt",), ("a.pt", "odd[1].pt")):
        assert not is_one_target(many), many


def test_a_file_in_a_folder_is_left_out_only_if_nothing_in_it_or_its_name_is_of_a_model() -> None:
    write("runs/notes.md", "runs/cut.pt", "runs/EMPTY.SAFETENSORS", "runs/config.json")
    Path("runs/pickle").write_bytes(b"\x80\x04}.")
    os.mkfifo("runs/pipe")
    left_out = {target.name for target in find_targets(["runs"]) if is_no_model(target)}
    assert left_out == {"runs/notes.md", "runs/config.json", "runs/pipe"}
    assert not is_no_model(Target("runs/notes.md"))
