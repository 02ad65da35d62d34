"""Telling what an unknown device contains, before anything is written to it."""

from pathlib import Path

from csi import programs
from node import block_device

_NOTHING = 2
_SEVERAL = 8


def found(device: Path) -> str:
    """Return the name of what is on a device, empty if it is blank.

    The name is blkid's ("ext4", "crypto_LUKS", "gpt", …), or a description where blkid finds
    several things, or none on a device that is not blank all the same.

    Raises:
        Unavailable: the device cannot be read; blkid would call that an empty one.
        ProgramFailed: blkid failed.
    """
    blank = block_device.is_blank(device)
    argv = ("blkid", "--probe", "--output", "export", str(device))
    done = programs.run(argv, accept=(0, _NOTHING, _SEVERAL))
    if done.status == _SEVERAL:
        return "more than one kind of data"
    values = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    names = [values[key] for key in ("TYPE", "PTTYPE") if key in values]
    if names:
        return " and ".join(names)
    return "" if blank and not values else "data of an unknown kind"
