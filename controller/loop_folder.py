"""The folder of a loop-file pool: made and tried out at the start, looked at by health checks."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from controller import image_file
from controller.image_store import ImageStore, disk_store, snapshot_store
from csi.disk import Disk, Snapshot
from csi.errors import InvalidRequest, Unavailable

_DISKS = "disks"
_SNAPSHOTS = "snapshots"
_MODE = 0o700

_LACKING = "its filesystem lacks what a pool needs (unnamed files, user attributes)"
_WHY: Mapping[int, str] = {
    errno.EOPNOTSUPP: f"{_LACKING}; use ext4, xfs or btrfs",
    errno.EISDIR: f"{_LACKING}; use ext4, xfs or btrfs",
    errno.EROFS: "its filesystem is read-only",
    errno.EACCES: "the driver may not write there",
    errno.EPERM: "the driver may not write there",
    errno.EEXIST: "there is a file in the place of a folder",
    errno.ENOTDIR: "there is a file in the place of a folder",
}


def prepare(folder: Path) -> tuple[ImageStore[Disk], ImageStore[Snapshot]]:
    """Make what is missing and return the stores of disks and snapshots.

    Raises InvalidRequest when the folder cannot be made or cannot hold images.
    """
    disks, snapshots = folder / _DISKS, folder / _SNAPSHOTS
    try:
        for place in (folder, disks, snapshots):
            place.mkdir(mode=_MODE, parents=True, exist_ok=True)
        for place in (disks, snapshots):
            with image_file.draft(place) as trial:
                trial.describe(b"{}")
    except OSError as error:
        why = _WHY.get(error.errno or 0, error.strerror)
        raise InvalidRequest(f"the folder {folder} cannot hold a pool: {why}") from error
    return disk_store(disks), snapshot_store(snapshots)


def check(folder: Path) -> None:
    """Raise Unavailable when the folder is gone or cannot be written any more."""
    for place in (folder / _DISKS, folder / _SNAPSHOTS):
        if not place.is_dir():
            raise Unavailable(f"the pool's folder {place} is gone; is its filesystem mounted?")
        if not os.access(place, os.W_OK):
            raise Unavailable(f"the pool's folder {place} cannot be written")


def room(folder: Path, used: int) -> int:
    """Return the bytes that images could take: what they take now, and what is free.

    Root's reserve is left out: it is there so that the host survives a full disk. Images that
    share data by reflinks seem to take more than they do; there is never more than all.
    """
    filesystem = os.statvfs(folder)
    free = filesystem.f_bavail * filesystem.f_frsize
    return min(used + free, filesystem.f_blocks * filesystem.f_frsize)
