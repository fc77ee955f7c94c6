"""Exact grouping of layer paths: `layer{1..4}.{0,1}.bn{1,2}` stands for sixteen layers and for no other.

The notation is that of shell braces: `{1..4}` is a range, `{a,b}` are alternatives, a comma outside braces separates
groups, and a backslash takes its meaning from the next character. The model itself, whose path is empty, is `(model)`.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MODEL: Final = "(model)"
"""How the model itself, the empty path, is written."""

Token = str | int
Box = tuple[frozenset[Token], ...]
"""All the names that take one token of each set, in this order."""

MOST_TOKENS: Final = 64
"""Dots, numbers and texts of a name that may share braces with others; those of models have some twenty."""

MOST_MERGED: Final = 6
"""Places in which names may differ and share braces: the last ones. The layers of a model differ in two or three, and
the time grows with the square of it."""

_MOST_PASSES: Final = 4
"""Rounds of uniting; each makes what is written shorter, and one is enough for most models."""

_TOKENS: Final = re.compile(r"[0-9]+|\.|[^0-9.]+")
_CANONICAL_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}")  # a longer one would gain nothing and is not worth an int
_RANGE: Final = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
_MEANINGFUL: Final = re.compile(r"[\\{},]")


@dataclass(frozen=True)
class Group:
    """Some layers that one text names.

    Attributes:
        text: The notation, such as `layer{1..4}.bn1`.
        size: Number of layers that it stands for.
    """

    text: str
    size: int


def group(names: Iterable[str]) -> str:
    """The names as a text that `expand` turns back into exactly these names.

    Args:
        names: Layer paths in model order; repeated ones count once.

    Returns:
        Groups separated by a comma, in the order of their first names; empty for no names.
    """
    return ", ".join(item.text for item in groups(names))


def groups(names: Iterable[str]) -> tuple[Group, ...]:
    """The same as `group`, with the number of layers in each group; no layer is in two of them."""
    return _groups(tuple(dict.fromkeys(names)))


@functools.lru_cache(8)  # the findings of one report are often on the same layers
def _groups(ordered: tuple[str, ...]) -> tuple[Group, ...]:
    order = {name: position for position, name in enumerate(ordered)}
    found: list[tuple[int, Group]] = []
    for skeleton in _by_skeleton(ordered).values():
        rank = {token: position for position, token in enumerate(dict.fromkeys(itertools.chain(*skeleton)))}
        for box in _cover(skeleton):
            first = min(order[_join(tokens)] for tokens in itertools.product(*box))
            found.append((first, Group(_write(box, rank) if box else MODEL, math.prod(map(len, box)))))
    return tuple(item for _, item in sorted(found, key=lambda pair: pair[0]))


def summarise(names: Iterable[str], limit: int) -> str:
    """The groups of the names as far as they fit, then how many layers are left.

    Args:
        names: Layer paths in model order.
        limit: Length that the text should not exceed, in characters; one group is always shown.

    Returns:
        `group(names)` where it is short enough, else its beginning and `… and 12 more`.
    """
    found = groups(names)
    whole = ", ".join(item.text for item in found)
    if len(whole) <= limit:
        return whole
    shown, length = 0, len(" … and 999 more")
    while shown < len(found) and (shown == 0 or length + len(found[shown].text) + 2 <= limit):
        length += len(found[shown].text) + 2
        shown += 1
    left = sum(item.size for item in found[shown:])
    text = ", ".join(item.text for item in found[:shown])
    return f"{text} … and {left} more" if left else text


def expand(text: str) -> tuple[str, ...]:
    """The names that a text of `group` stands for.

    Args:
        text: Groups such as `layer{1..4}.bn{1,2}, fc`; white space after a comma outside braces is one space.

    Returns:
        The names, group by group; empty for an empty text.

    Raises:
        ValueError: A brace is not closed, or a backslash ends the text.
    """
    if not text:
        return ()
    return tuple(name for part in _split(text) for name in _expand_group(part.removeprefix(" ")))


def _tokens(name: str) -> tuple[Token, ...]:
    """The name cut into dots, numbers and the texts between; a number with leading zeros stays a text."""
    tokens = _TOKENS.findall(name)
    if len(tokens) > MOST_TOKENS:
        return (name,)
    return tuple(int(token) if _CANONICAL_NUMBER.fullmatch(token) else token for token in tokens)


def _join(tokens: Iterable[Token]) -> str:
    return "".join(map(str, tokens))


def _by_skeleton(names: Sequence[str]) -> dict[tuple[str, ...], list[tuple[Token, ...]]]:
    """The tokens of the names, by where their dots, numbers and texts stand: only alike names can share braces."""
    found: dict[tuple[str, ...], list[tuple[Token, ...]]] = {}
    for name in names:
        tokens = _tokens(name)
        skeleton = tuple("0" if isinstance(token, int) else "." if token == "." else "a" for token in tokens)
        found.setdefault(skeleton, []).append(tokens)
    return found


def _cover(names: Sequence[tuple[Token, ...]]) -> list[Box]:
    """Disjoint boxes that hold exactly these names: the fewer of two greedy attempts."""
    if len(names[0]) == 1:  # `conv, norm` reads better than `{conv,norm}`
        return [(frozenset(tokens),) for tokens in names]
    differing = [position for position, tokens in enumerate(zip(*names, strict=True)) if len(set(tokens)) > 1]
    merged = differing[-MOST_MERGED:]
    alike: dict[tuple[Token, ...], list[tuple[Token, ...]]] = {}
    for tokens in names:
        alike.setdefault(tuple(tokens[position] for position in differing[: -len(merged)]), []).append(tokens)
    return [box for some in alike.values() for box in _cover_alike(some, merged)]


def _cover_alike(names: Sequence[tuple[Token, ...]], positions: Sequence[int]) -> list[Box]:
    """Boxes of names that differ in a few positions only: these alone are compared, however long the names are."""
    small = [tuple(frozenset((tokens[position],)) for position in positions) for tokens in names]
    places = range(len(positions))
    boxes = min((_merge(small, order) for order in (places[::-1], places)), key=len)
    whole = [frozenset((token,)) for token in names[0]]
    found = []
    for box in boxes:
        for position, tokens in zip(positions, box, strict=True):
            whole[position] = tokens
        found.append(tuple(whole))
    return found


def _merge(boxes: list[Box], positions: Sequence[int]) -> list[Box]:
    """Unite boxes that differ in one position only, which never widens what they hold, as long as some do."""
    for _ in range(_MOST_PASSES):
        before = len(boxes)
        for position in positions:
            united: dict[tuple[Box, Box], set[Token]] = {}
            for box in boxes:
                united.setdefault((box[:position], box[position + 1 :]), set()).update(box[position])
            boxes = [(*left, frozenset(tokens), *right) for (left, right), tokens in united.items()]
        if len(boxes) == before:
            break
    return boxes


def _write(box: Box, rank: Mapping[Token, int]) -> str:
    """A box in the notation; `rank` gives the order of texts, numbers stand in their own."""
    parts = []
    for tokens in box:
        if len(tokens) == 1:
            parts.append(_MEANINGFUL.sub(r"\\\g<0>", str(*tokens)))
            continue
        numbers = sorted(token for token in tokens if isinstance(token, int))
        texts = sorted((token for token in tokens if isinstance(token, str)), key=rank.__getitem__)
        written = [*_ranges(numbers), *(_MEANINGFUL.sub(r"\\\g<0>", text) for text in texts)]
        parts.append("{" + ",".join(written) + "}")
    text = "".join(parts)
    return f"\\{text}" if text == MODEL or text.startswith(" ") else text


def _ranges(numbers: Sequence[int]) -> Iterator[str]:
    """Rising numbers, three or more in a row as a range."""
    for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        values = [value for _, value in run]
        if len(values) >= 3:
            yield f"{values[0]}..{values[-1]}"
        else:
            yield from map(str, values)


def _split(text: str) -> Iterator[str]:
    """The parts of a text between its commas outside braces, escapes left in."""
    depth, start = 0, 0
    characters = enumerate(text)
    for position, character in characters:
        if character == "\\":
            next(characters, None)
        elif character in "{}":
            depth += 1 if character == "{" else -1
        elif character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _expand_group(text: str) -> Iterator[str]:
    if text == MODEL:
        yield ""
        return
    parts: list[list[str]] = []
    rest = text
    while rest:
        literal, rest = _literal(rest, stop="{")
        parts.append([literal])
        if rest:
            alternatives, rest = _alternatives(rest[1:])
            parts.append(alternatives)
    yield from map("".join, itertools.product(*parts))


def _alternatives(text: str) -> tuple[list[str], str]:
    """The alternatives up to the closing brace, and the text after it."""
    found: list[str] = []
    while True:
        start = text
        literal, text = _literal(text, stop=",}")
        if not text:
            raise ValueError("a brace is not closed")
        limits = _RANGE.fullmatch(start[: len(start) - len(text)])
        if limits:
            found += map(str, range(int(limits[1]), int(limits[2]) + 1))
        else:
            found.append(literal)
        closed, text = text[0] == "}", text[1:]
        if closed:
            return found, text


def _literal(text: str, stop: str) -> tuple[str, str]:
    """The text up to the first unescaped character of `stop`, without escapes, and the rest from there."""
    taken: list[str] = []
    escaped = False
    for position, character in enumerate(text):
        if escaped or character not in f"{stop}\\":
            taken.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            return "".join(taken), text[position:]
    if escaped:
        raise ValueError("a backslash ends the text")
    return "".join(taken), ""
