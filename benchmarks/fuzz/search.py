"""Searches one target until the time is up or something is found; `benchmarks.fuzz` starts it in a process of its own.

The folder keeps the inputs that reach new code, and one that fails; libFuzzer prints what it counts on stderr.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bnlint"]):
    from benchmarks.fuzz.road import read_and_report, stay_here
    from benchmarks.fuzz.targets import TARGETS, Target

from tests.artifacts.forbidden import forbid

MOST_SECONDS = 2
"""Processor time that one input may take; the instrumented code takes several times that of the code as it is."""

LARGEST_INPUT = 1 << 14
"""Bytes of an input."""

MOST_MEMORY = 1500
"""Resident memory of the process in MB; torch and the instrumented code take a third of it."""

WARM_UP = 300
"""Damaged inputs that are read before anything is forbidden: what is imported on the way is imported then."""


def main(name: str, folder: Path, seconds: int) -> None:
    """Search one target.

    Args:
        name: The target.
        folder: Where inputs are kept.
        seconds: How long.
    """
    target = TARGETS[name]
    corpus, work = folder / "corpus", folder / "work"
    for made in (corpus, work):
        made.mkdir(parents=True, exist_ok=True)
    given = target.seeds()
    for number, seed in enumerate(given):
        (corpus / f"seed-{number}").write_bytes(seed)
    for beside, data in target.beside().items():
        (work / beside).write_bytes(data)
    stay_here(target.live, target.traced)
    read = _reader(target, work)
    chance = random.Random(0)
    for seed in [*given, *(_damaged(chance.choice(given), chance) for _ in range(WARM_UP))]:
        read(seed)
    forbid_once = functools.cache(_forbid_nothing if target.traced else forbid)

    def one_input(data: bytes) -> None:
        lift = forbid_once()  # not earlier, since atheris has something to import when it begins
        start = time.process_time()
        try:
            read(data)
            if time.process_time() - start > MOST_SECONDS:
                raise TimeoutError(f"it took {time.process_time() - start:.1f} s")
        except BaseException:
            lift()  # atheris ends here, and has a traceback to print
            raise

    options = [
        f"-max_total_time={seconds}", f"-max_len={LARGEST_INPUT}", f"-rss_limit_mb={MOST_MEMORY}", "-timeout=60",
        "-seed=1", "-len_control=0", "-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


def _forbid_nothing() -> Callable[[], None]:
    return lambda: None


def _reader(target: Target, work: Path) -> Callable[[bytes], bool]:
    """What reads an input; the file is opened for writing once, since later nothing may be."""
    handle = os.open(work / target.name, os.O_RDWR | os.O_CREAT)
    given = work if target.is_folder else work / target.name

    def read(data: bytes) -> bool:
        content = target.file(data)
        os.ftruncate(handle, 0)
        os.pwrite(handle, content, 0)
        return read_and_report(given)

    return read


def _damaged(seed: bytes, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randint(len(data) // 2, len(data)) if chance.random() < 0.3 else len(data)])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
