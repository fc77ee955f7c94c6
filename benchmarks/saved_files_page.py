"""The page on what `bnlint check` costs on large files, each number beside its limit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.resident import machine, today

TIME: Final = 0.2
"""Most of the time of `torch.load` that a check may take."""

READ: Final = 2.0
"""Most bytes that may be read for each byte of a normalisation tensor."""

MEMORY: Final = 120_000_000
"""Most bytes of memory that a process may take."""

FLAT: Final = 1.1
"""Most times the processor time of the smallest file that the largest may take: what runs of one file differ by."""

LINEAR: Final = 1.25
"""Most times the processor time of a layer that a layer may take in a model twice as deep, likewise."""


@dataclass(frozen=True)
class Measured:
    """What one check of a large file took.

    Attributes:
        form: The form of the file.
        size: Its bytes.
        seconds: Median time of the whole process.
        load: That of a process that imports torch and loads the file.
        read: Bytes of the file that were read; `None` where the system does not count them.
        norms: Bytes of the normalisation tensors.
        own: Peak memory of the process that reports, in bytes.
        child: That of the largest process that it started; 0 where it started none.
    """

    form: str
    size: int
    seconds: float
    load: float
    read: int | None
    norms: int
    own: int
    child: int


@dataclass(frozen=True)
class Growth:
    """Median processor seconds of a check by what grows.

    Attributes:
        form: The form of the file.
        seconds: By the number of bytes, or of layers, in ascending order.
    """

    form: str
    seconds: Mapping[int, float]


def tables(measured: Sequence[Measured], sizes: Sequence[Growth], layers: Sequence[Growth]) -> str:
    """The three tables, as markdown."""
    return "\n".join([
        "| file | MB | check | torch.load | ratio | bytes read ÷ of normalisation | peak memory, child, MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(_line, measured),
        "",
        "Processor time by file size in MB, the same layers in each:",
        "",
        *_heading(sizes, 1_000_000, "last ÷ first"),
        *map(_size_line, sizes),
        "",
        "Processor time by number of layers in files of one size, and in brackets that of each layer which the column",
        "before has not:",
        "",
        *_heading(layers, 1, "a layer, last ÷ before"),
        *map(_layers_line, layers),
    ])  # fmt: skip


def page(measured: Sequence[Measured], sizes: Sequence[Growth], layers: Sequence[Growth], rounds: int) -> str:
    """The whole page: what was measured and how, and the tables."""
    return f"""# Large files

{today()}, {machine()}.
Made by `python -m benchmarks.saved_files --write benchmarks/results/saved_files.md`; nothing kept other programs from
running on the machine meanwhile.

Convolutions with BatchNorm, in files that torch and safetensors wrote. The classes of the whole model are in a module
that bnlint cannot import.

- *check* and *torch.load* are medians of {rounds} runs of whole processes in turns: `bnlint check FILE --no-config` and
  `python -c "import torch; torch.load(FILE, mmap=True)"`, both with their bytecode cached and the file in the memory of
  the system. Beside the safetensors file torch loads the same weights as a state_dict; of the whole model it is given
  the classes, and `weights_only=False`.
- *Bytes read* are those of the file, as the kernel counts them (`rchar`), by the child process as well; Python's own
  modules and the rules are not among them.
- *Peak memory* is resident memory of the process that reports, and of the largest that it starts.
- Growth is in processor time of bnlint and all that it starts, which other programs disturb less.

{tables(measured, sizes, layers)}
"""


def _line(row: Measured) -> str:
    ratio = row.seconds / row.load
    read = "not counted" if row.read is None else _judged(f"{row.read / row.norms:.2f}", row.read / row.norms, READ)
    peak = max(row.own, row.child)
    child = f"{row.child / 1e6:.0f}" if row.child else "none"
    return (
        f"| {row.form} | {row.size / 1e6:,.0f} | {row.seconds * 1000:.0f} ms | {row.load * 1000:.0f} ms "
        f"| {_judged(f'{ratio:.3f}', ratio, TIME)} | {read} "
        f"| {_judged(f'{row.own / 1e6:.0f}, {child}', peak / 1e6, MEMORY / 1e6)} |"
    )


def _judged(shown: str, value: float, limit: float) -> str:
    return f"**{shown}** (under {limit:g}: {'met' if value < limit else 'not met'})"


def _heading(rows: Sequence[Growth], unit: int, last: str) -> list[str]:
    numbers = list(rows[0].seconds)
    cells = " | ".join(f"{number / unit:,.6g}" for number in numbers)
    return [f"| file | {cells} | {last} |", f"| --- |{' --- |' * (len(numbers) + 1)}"]


def _size_line(row: Growth) -> str:
    seconds = list(row.seconds.values())
    growth = seconds[-1] / seconds[0]
    cells = " | ".join(f"{second * 1000:.0f} ms" for second in seconds)
    return f"| {row.form} | {cells} | {_judged(f'{growth:.2f}', growth, FLAT)} |"


def _layers_line(row: Growth) -> str:
    pairs = list(row.seconds.items())
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in itertools.pairwise(pairs)]
    cells = [f"{pairs[0][1] * 1000:.0f} ms"]
    cells += [
        f"{seconds * 1000:.0f} ms ({slope * 1e6:.0f} µs)" for (_, seconds), slope in zip(pairs[1:], slopes, strict=True)
    ]
    growth = slopes[-1] / slopes[-2]
    return f"| {row.form} | {' | '.join(cells)} | {_judged(f'{growth:.2f}', growth, LINEAR)} |"
