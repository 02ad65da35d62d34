"""A raw device in parts: which of them hold something, and which have changed.

What the driver's SnapshotMetadata tells of bytes becomes ranges of parts. A range may cover more
than it has to: what has not changed is then read in vain, and nothing is missed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from csi.disk import MIB, Extent
from csi.errors import InvalidRequest

PART = 4 * MIB
"""Bytes of a part; the last one of a device may have less."""
_MOST = 1000
"""Ranges, at most, so that all fit in an argument of a program (execve(2): 128 KiB)."""

Ranges = Sequence[tuple[int, int]]
"""Of parts: the first, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is known of the copy that is backed up."""

    copy: str
    """Its key: no other copy, of this disk or another one, ever has the same."""
    written: Ranges
    """What may hold something; the rest reads as zeros."""
    since: Mapping[str, Ranges]
    """By the keys of earlier copies: what may be different from there."""

    def to_json(self) -> str:
        """Return what `parse` reads."""
        return msgspec.json.encode(self).decode()


def parse(text: str) -> Changes:
    """Read what is known of a copy; raises InvalidRequest naming what is wrong."""
    try:
        return msgspec.json.decode(text, type=Changes)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"what is said of changes cannot be understood: {error}") from error


def ranges(extents: Iterable[Extent], most: int = _MOST) -> Ranges:
    """Return the parts that have any of these bytes, in at most so many ranges."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(map(_touched, extents)):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return _coarser(found, most)


def within(of: Ranges, size: int) -> Iterator[int]:
    """Yield the numbers of the parts in ranges that a device of so many bytes has."""
    end = -(-size // PART)
    for first, after in of:
        yield from range(first, min(after, end))


def count(of: Ranges) -> int:
    """Return how many parts are in ranges."""
    return sum(end - first for first, end in of)


def _touched(extent: Extent) -> tuple[int, int]:
    return extent.offset // PART, -(-(extent.offset + extent.length) // PART)


def _coarser(found: Ranges, most: int) -> Ranges:
    """Close the smallest gaps between ranges until there are few enough."""
    gaps = sorted(range(1, len(found)), key=lambda at: found[at][0] - found[at - 1][1])
    closed = {*gaps[: max(0, len(found) - most)]}
    made: list[tuple[int, int]] = []
    for at, (first, end) in enumerate(found):
        if at in closed:
            made[-1] = (made[-1][0], end)
        else:
            made.append((first, end))
    return made
