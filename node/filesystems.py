"""The filesystems that a disk may have, and what is done alike for all of them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from node import block_device, mounts, superblock
from node.btrfs import Btrfs
from node.ext4 import Ext4
from node.xfs import Xfs

log = logging.getLogger(__name__)


class Filesystem(Protocol):
    """What differs between filesystems."""

    @property
    def minimum_size(self) -> int:
        """Bytes below which its mkfs refuses to make one, or makes one without a journal."""

    @property
    def options(self) -> Sequence[str]:
        """Mount options that it always gets."""

    @property
    def read_only_options(self) -> Sequence[str]:
        """What keeps a read-only mount from writing all the same, to replay a journal."""

    def make(self, device: Path, /) -> None:
        """Format the device, whatever is on it.

        Raises MissingProgram, ProgramFailed or Unavailable.
        """

    def check(self, device: Path, /) -> None:
        """Make the unmounted filesystem fit for a writable mount; raises Refused if it is not."""

    def grow(self, device: Path, target: Path, /) -> None:
        """Grow the filesystem, mounted at `target`, to the size of its device.

        Raises MissingProgram or ProgramFailed.
        """

    def renew_uuid(self, device: Path, target: Path, /) -> None:
        """Give the unmounted filesystem a new UUID; safe to redo after a kill at any moment.

        It may be mounted at `target` meanwhile, and may still be if this was killed.
        """


FILESYSTEMS: Mapping[str, Filesystem] = {"ext4": Ext4(), "xfs": Xfs(), "btrfs": Btrfs()}

MINIMUM_SIZE: Mapping[str, int] = {name: fs.minimum_size for name, fs in FILESYSTEMS.items()}
"""The smallest disk in bytes that each filesystem can be made on."""


def mount(device: Path, target: Path, name: str, flags: Sequence[str], *, read_only: bool) -> None:
    """Mount a filesystem.

    Args:
        device: the block device.
        target: an existing directory.
        name: ext4, xfs or btrfs.
        flags: further mount options, already checked.
        read_only: write nothing at all to the device, not even what a crash left to be done.

    Raises the errors of `mounts.mount`.
    """
    kind = FILESYSTEMS[name]
    always = ("ro", *kind.read_only_options) if read_only else ()
    mounts.mount(device, target, name, (*always, *kind.options, *flags))


def grow(device: Path, target: Path, name: str) -> None:
    """Grow a filesystem, mounted writable, to its device's size; nothing to do if it fills it.

    Raises MissingProgram, ProgramFailed or Unavailable.
    """
    found = superblock.read(device, name)
    room = block_device.size(device)
    if found is not None and found.size < room:
        log.info("growing %s on %s from %d to %d bytes", name, device, found.size, room)
        FILESYSTEMS[name].grow(device, target)
