"""Times whole processes against one another, in turns, so that a busy spell of the machine hits all alike."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence


def interleaved_medians(
    commands: Mapping[str, Sequence[str]], rounds: int, *, processor: bool = False
) -> dict[str, float]:
    """Runs every command once to warm up, then `rounds` times in turns.

    Args:
        commands: Command lines by label.
        rounds: Timed runs of each command.
        processor: Whether to measure the processor time of a command and of all that it starts, which other programs
            disturb less; wall-clock time by default.

    Returns:
        The median time of each command in seconds, by label.

    Raises:
        RuntimeError: A command ended with a status other than 0 or 1; 1 is a finding.
    """
    seconds: dict[str, list[float]] = {label: [] for label in commands}
    for turn in range(rounds + 1):
        for label, command in commands.items():
            elapsed = _run(command, processor)
            if turn > 0:
                seconds[label].append(elapsed)
    return {label: statistics.median(values) for label, values in seconds.items()}


def print_ratios(medians: Mapping[str, float], base: str) -> None:
    """Prints each median in milliseconds and as a multiple of the one labelled `base`."""
    width = max(map(len, medians))
    for label, seconds in medians.items():
        print(f"{label:<{width}}  {seconds * 1000:7.0f} ms  {seconds / medians[base]:6.2f} ×")


def _run(command: Sequence[str], processor: bool) -> float:
    clock = _processor_time if processor else time.perf_counter
    start = clock()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    elapsed = clock() - start
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return elapsed


def _processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
