"""How much JSON is read of an untrusted file: its length alone does not bound the memory that it takes."""

from __future__ import annotations

from typing import Final

MOST_COLONS: Final = 1 << 19
"""Colons in the JSON that describes weights: four for each tensor of a safetensors header, one in an index, and those
in the metadata. The largest published models have some ten thousand tensors in a file and 140,000 in all. A tensor of
a few bytes of text takes a kilobyte of memory, in the process that writes the report."""


def refuse_many_parts(text: bytes) -> None:
    """Refuse JSON of more parts than that of any model, before it is parsed.

    Args:
        text: The JSON.

    Raises:
        ValueError: It has more than `MOST_COLONS` colons.
    """
    if text.count(b":") > MOST_COLONS:
        raise ValueError("its JSON has more parts than that of any model")
