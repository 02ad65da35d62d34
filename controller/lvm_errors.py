"""What LVM's messages mean: a failed reply becomes one of the domain's errors."""

import re

from csi.errors import Busy, DiskError, DiskInUse, PoolFull, ProgramFailed, Unavailable

ALREADY_EXISTS = re.compile(r"already exists in volume group")
MISSING_LV = re.compile(r"Failed to find logical volume", re.IGNORECASE)
UNKNOWN_VOLUME = re.compile(r"already contain thin device with device_id (\d+)")
"""The kernel has a volume of the number that LVM has given to a new one."""
NOTHING_TO_CHANGE = re.compile(r"is already \d+ for")
NOTHING_TO_GROW = re.compile(r"matches existing size|not larger than existing|No size change")

_IN_USE = re.compile(r"in use|is used by|contains a filesystem")
_FROZEN = re.compile(r"Unable to suspend|Failed to suspend thin snapshot origin")
_FULL = re.compile(r"[Ii]nsufficient|out of (data|metadata) space|[Nn]ot enough|free space")
_AWAY = re.compile(r"Volume group .* not found|Cannot process volume group|locking", re.IGNORECASE)


def missing(message: str, path: str) -> bool:
    """Tell whether a message says that VG/LV `path` does not exist."""
    return re.search(rf'Failed to find logical volume "{re.escape(path)}"', message) is not None


def failure(argv: tuple[str, ...], message: str, subject: str) -> DiskError:
    """Return the error for an LVM command that failed.

    Args:
        argv: the command.
        message: what LVM said.
        subject: what it was about, as the user knows it (`disk "pgdata"`).
    """
    if UNKNOWN_VOLUME.search(message):
        return ProgramFailed(["lvm", *argv], 5, message)
    if _IN_USE.search(message):
        return DiskInUse(f"{subject} is in use: {message}")
    if _FROZEN.search(message):
        return Busy(f"{subject} is frozen, by another copy or by hand; try again: {message}")
    if _FULL.search(message):
        return PoolFull(f"no room for {subject}: {message}")
    if _AWAY.search(message):
        return Unavailable(f"LVM cannot be used now: {message}")
    return ProgramFailed(["lvm", *argv], 5, message)
