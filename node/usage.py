"""How full a mounted volume is."""

import os
from dataclasses import dataclass
from pathlib import Path

from csi.errors import Unavailable
from node import block_device


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is of something: bytes or inodes."""

    total: int
    available: int = 0
    """What an ordinary user may still take."""
    used: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a volume is."""

    space: Amount
    """In bytes."""
    inodes: Amount | None = None
    """None where they are not counted: btrfs makes them as needed, a device has none."""


def of_filesystem(path: Path) -> Usage:
    """Return how full the filesystem at a path is; raises Unavailable when it does not answer."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise Unavailable(f"the filesystem at {path} does not answer: {error.strerror}") from error
    unit = found.f_frsize
    space = Amount(
        total=found.f_blocks * unit,
        available=found.f_bavail * unit,
        used=(found.f_blocks - found.f_bfree) * unit,
    )
    if not found.f_files:
        return Usage(space)
    inodes = Amount(found.f_files, found.f_favail, found.f_files - found.f_ffree)
    return Usage(space, inodes)


def of_device(device: Path) -> Usage:
    """Return the size of a raw device; nobody knows how much of it is in use."""
    return Usage(Amount(block_device.size(device)))
