"""Writes hostile files and folders of every form that bnlint reads."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch import nn

from tests.artifacts.inert.hostile import Calls, saved
from tests.artifacts.known.pickles import write
from tests.artifacts.known.test_hostile import hostile as disguised
from tests.artifacts.onnx_models import model_of
from tests.artifacts.programs import edited, save
from tests.artifacts.test_package_archive import Persistent
from tests.artifacts.test_program_archive import commands as commands_in_programs
from tests.artifacts.test_torchscript import Writes
from tests.cli.hostile_contents import network

PACKAGE = "hostile_nets"
"""A package that files name, and that is admitted."""

CODE = """
import torch
from pathlib import Path

def run(*arguments):
    Path({canary!r}).touch()

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()

class Plain:
    def __setstate__(self, state):
        run()

    def __reduce__(self):
        return run, ()
"""


def lists_of_shards() -> dict[str, str]:
    """What an index says that a tensor lies in."""
    return {
        "climbs": "../secret.safetensors",
        "climbs inside": "a/../../secret.safetensors",
        "absolute": "/etc/passwd",
        "Windows": "C:\\secret",
        "Windows share": "\\\\server\\share",
        "terminal": "\x1b[2J.safetensors",
        "nul": "a\0b",
        "itself": "model.safetensors.index.json",
        "a folder": ".",
        "a pipe": "pipe",
        "a device": "/dev/zero",
        "ONNX": "model.onnx",
        "a program": "program.pt2",
        "TorchScript": "script.pt",
        "a package": "package.pt",
        "a command": "command.pt",
    }


def sound_files(folder: Path) -> dict[str, bytes]:
    """A sound file of each form; an index that lists `shard`."""
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(model, (torch.zeros(2, 3, 4, 4),), folder / "program")
        torch.jit.save(torch.jit.script(model), folder / "script")
        with torch.package.PackageExporter(str(folder / "package")) as exporter:
            exporter.extern("**")
            exporter.save_pickle("net", "model.pkl", model)
    save_file(model.state_dict(), folder / "safetensors")
    torch.save(model, folder / "legacy", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()} | {
        "zip": saved(model.state_dict()),
        "whole model": saved(model),
        "plain": pickle.dumps(model),
        "onnx": model_of().SerializeToString(),
        "index": json.dumps({"weight_map": dict.fromkeys(model.state_dict(), "shard")}).encode(),
    }


class Factory:
    """Makes the files in a folder.

    Args:
        folder: An empty folder.
        canary: What appears where a file gets its way.
        sound: A sound file of each form.
    """

    def __init__(self, folder: Path, canary: Path, sound: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._canary = canary
        self._sound = sound
        self._number = 0

    def place(self) -> Path:
        self._number += 1
        return self._folder / f"{self._number}"

    def file(self, content: bytes) -> Path:
        path = self.place()
        path.write_bytes(content)
        return path

    def programs(self) -> Iterator[tuple[str, Path]]:
        good = self.file(self._sound["program"])
        for name, edits in commands_in_programs(self._canary).items():
            yield name, edited(good, self.place(), edits)

    def torchscript(self) -> Path:
        path = self.place()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.script(nn.Sequential(nn.BatchNorm2d(4), Writes(str(self._canary)))), path)
        return path

    def packages(self) -> Iterator[tuple[str, Path]]:
        plain, persistent = self.place(), self.place()
        command = Calls(os.system, f"touch {self._canary}")
        with zipfile.ZipFile(plain, "w") as archive:
            archive.writestr("p/net/model.pkl", pickle.dumps(command))
            archive.writestr("p/net/__init__.py", CODE.format(canary=str(self._canary)) + "\nrun()")
            archive.writestr("p/.data/extern_modules", "os\n")
        with zipfile.ZipFile(persistent, "w") as archive:
            archive.writestr("p/.data/extern_modules", "os\n")
            stream = io.BytesIO()
            command.command = f"touch {self._canary}"  # type: ignore[attr-defined]
            Persistent(stream, 2).dump({"model": command})
            archive.writestr("p/net/model.pkl", stream.getvalue())
        yield "package with a call", plain
        yield "package with a call behind a persistent id", persistent

    def distributed(self) -> Iterator[tuple[str, Path]]:
        def folder(change: Callable[[Path], None]) -> Path:
            place = self.place()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dcp.save({"model": network().state_dict()}, checkpoint_id=place, no_dist=True)
            change(place)
            return place

        def listed(**changes: Any) -> Callable[[Path], None]:
            def change(place: Path) -> None:
                metadata = pickle.loads((place / ".metadata").read_bytes())
                for name, value in changes.items():
                    if name == "planner_data":
                        metadata.planner_data = value
                    for info in metadata.storage_data.values():
                        setattr(info, name, value)
                (place / ".metadata").write_bytes(pickle.dumps(metadata))

            return change

        def chunk(place: Path) -> None:
            path = next(place.glob("*.distcp"))
            command = saved(Calls(os.system, f"touch {self._canary}"))
            path.write_bytes(command * (1 + path.stat().st_size // len(command)))

        yield "list with a call", folder(listed(planner_data=Calls(os.system, f"touch {self._canary}")))
        for file in ("../../../etc/passwd", "/etc/passwd", "C:\\a", "\x1b[2J"):
            yield f"chunk in {file}", folder(listed(relative_path=file))
        yield "chunk far away", folder(listed(offset=1 << 60))
        yield "chunk before the start", folder(listed(offset=-(1 << 60)))
        yield "chunk with a call", folder(chunk)
        yield "list of nothing", folder(lambda place: (place / ".metadata").write_bytes(b"\x80\x02N.") and None)

    def hugging_face(self) -> Iterator[tuple[str, Path]]:
        config = {
            "auto_map": {"AutoModel": "modeling.Model"}, "trust_remote_code": True, "architectures": ["os.system"],
            "_name_or_path": f"$(touch {self._canary})", "torch_dtype": f"open({str(self._canary)!r}, 'w')",
        }  # fmt: skip

        def folder(files: Mapping[str, bytes]) -> Path:
            place = self.place()
            place.mkdir()
            code = CODE.format(canary=str(self._canary)) + "\nrun()\n"
            for name in ("modeling", "torch", "numpy", "timeit", "onnx"):  # as modules of the current folder
                (place / f"{name}.py").write_text(code)
            (place / "config.json").write_text(json.dumps(config))
            for name, content in files.items():
                (place / name).write_bytes(content)
            return place

        command = saved(Calls(os.system, f"touch {self._canary}"))
        yield "hostile config", folder({"pytorch_model.bin": saved(network().state_dict())})
        yield "hostile weights", folder({"pytorch_model.bin": command})
        yield "a config without end", folder({"config.json": b"[" * 10**6, "pytorch_model.bin": command})
        for name, listed in lists_of_shards().items():
            text = json.dumps({"weight_map": {"bn.weight": listed}}).encode()
            place = folder({
                "model.safetensors.index.json": text,
                "model.onnx": model_of().SerializeToString(),
                "command.pt": command,
            })  # fmt: skip
            os.mkfifo(place / "pipe")
            for target, form in (("program.pt2", "program"), ("script.pt", "script"), ("package.pt", "package")):
                (place / target).write_bytes(self._sound[form])
            yield f"index that lists {name}", place

    def disguised(self) -> Iterator[tuple[str, Path]]:
        """Models of known code that hold something else."""
        for name, (value, _) in disguised(self._canary).items():
            yield name, write(self.place(), value, bytes(16))
