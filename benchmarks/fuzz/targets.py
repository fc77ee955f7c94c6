"""What is searched: each parser, with files to start from and the form in which its input lies on the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.fuzz import seeds


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        reads: What it reads, in words.
        seeds: Makes the inputs to start from.
        file: The file of an input: the input itself, or an archive around it whose check sums are right.
        beside: Makes files that lie in the folder of the input, by name.
        name: The name of the file of the input.
        is_folder: Whether bnlint is given the folder rather than the file.
        live: Whether a model of known code is made of the file as well.
        traced: Whether that model is then traced and planned; torch imports and compiles for it, so only the report
            is watched, not what is run.
    """

    reads: str
    seeds: Callable[[], Sequence[bytes]]
    file: Callable[[bytes], bytes] = bytes
    beside: Callable[[], Mapping[str, bytes]] = field(default=dict)
    name: str = "input"
    is_folder: bool = False
    live: bool = False
    traced: bool = False


class _Member:
    """An archive with the input as one of its members.

    Args:
        make: Makes the members of a sound archive.
        name: The member that is the input.
    """

    def __init__(self, make: Callable[[], Mapping[str, bytes]], name: str) -> None:
        self._make = make
        self._name = name
        self._others: dict[str, bytes] = {}

    def seeds(self) -> list[bytes]:
        """The sound member."""
        self._others = dict(self._make())
        return [self._others.pop(self._name)]

    def file(self, data: bytes) -> bytes:
        """The archive around an input."""
        return seeds.zipped({self._name: data, **self._others})


def _in_archive(reads: str, make: Callable[[], Mapping[str, bytes]], name: str) -> Target:
    member = _Member(make, name)
    return Target(reads, member.seeds, member.file)


def _pickle_in_zip(data: bytes) -> bytes:
    return seeds.zipped({"data.pkl": data, "byteorder": b"little", **{f"data/{key}": bytes(16) for key in range(20)}})


def _listed() -> list[bytes]:
    return [seeds.distributed()[".metadata"]]


def _chunks() -> dict[str, bytes]:
    return {name: data for name, data in seeds.distributed().items() if name != ".metadata"}


_BATCH_NORM = "code/__torch__/torch/nn/modules/batchnorm.py"
TARGETS = {
    "pickle in zip": Target("the pickle in a file of `torch.save`", seeds.pickles, _pickle_in_zip),
    "known code": Target("the same, made live where its classes are known", seeds.pickles, _pickle_in_zip, live=True),
    "traced": Target("files of `pickle.dump`, made live and traced", seeds.layers, live=True, traced=True),
    "zip": Target("files of `torch.save` as a whole", seeds.checkpoints),
    "legacy": Target("files of `torch.save` from before torch 1.6", seeds.legacy),
    "plain pickle": Target("files of `pickle.dump`", lambda: seeds.pickles()[4:]),
    "safetensors": Target("safetensors files", seeds.safetensors),
    "shard index": Target(
        "indices of shards", seeds.index, beside=lambda: {"shard": seeds.safetensors()[0]}, name="model.index.json"
    ),
    "distributed": Target(
        "the list of a checkpoint folder", _listed, beside=_chunks, name=".metadata", is_folder=True
    ),
    "program": _in_archive("the graph of a `.pt2` file", seeds.program, "models/model.json"),
    "program weights": _in_archive(
        "the list of weights of a `.pt2` file", seeds.program, "data/weights/model_weights_config.json"
    ),
    "TorchScript": _in_archive("the pickle of a TorchScript archive", seeds.torchscript, "data.pkl"),
    "TorchScript code": _in_archive("the code of a TorchScript archive", seeds.torchscript, _BATCH_NORM),
    "TorchScript lines": _in_archive(
        "the source lines of a TorchScript archive", seeds.torchscript, f"{_BATCH_NORM}.debug_pkl"
    ),
    "package": _in_archive("the pickle of a file of `torch.package`", seeds.package, "net/model.pkl"),
    "ONNX": Target("ONNX files", seeds.onnx),
}  # fmt: skip
"""All targets by name."""
