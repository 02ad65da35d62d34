"""The kernel's interface to loop devices: ioctls on them, and what /sys says about them (loop(4)).

Devices are called by their numbers here: /dev/loop7 is 7.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from csi.errors import Unavailable
from csi.files import opened

_CONTROL = Path("/dev/loop-control")
_BLOCK = Path("/sys/block")
_MAJOR = 7
_SECTOR = 512
_TRIES = 1024

# linux/loop.h
_CLR_FD = 0x4C01
_SET_STATUS64 = 0x4C04
_GET_STATUS64 = 0x4C05
_SET_CAPACITY = 0x4C07
_CONFIGURE = 0x4C0A
_CTL_GET_FREE = 0x4C82
_READ_ONLY = 1
_AUTOCLEAR = 4
_DIRECT_IO = 16


@dataclass(frozen=True, slots=True)
class Status:
    """What a device shows: the structure loop_info64, as far as it matters here."""

    device: int = 0
    inode: int = 0
    offset: int = 0
    size_limit: int = 0
    flags: int = 0
    name: bytes = b""

    _LAYOUT = struct.Struct("=5Q4I64s64s32s2Q")

    def packed(self) -> bytes:
        """Return it as the kernel takes it."""
        where = (self.device, self.inode, 0, self.offset, self.size_limit)
        return self._LAYOUT.pack(*where, 0, 0, 0, self.flags, self.name[:63], b"", b"", 0, 0)

    @classmethod
    def parse(cls, data: bytes) -> "Status":
        """Read what the kernel gives."""
        device, inode, _, offset, size_limit, _, _, _, flags, name, *_ = cls._LAYOUT.unpack(data)
        return cls(device, inode, offset, size_limit, flags, name)

    def shows(self, file: os.stat_result) -> bool:
        """Tell whether all of that very file can be read and written through the device."""
        is_whole = not self.offset and not self.size_limit and not self.flags & _READ_ONLY
        return is_whole and (self.device, self.inode) == (file.st_dev, file.st_ino)


def configure(image: Path) -> int:
    """Have a free device show a file, and return its number.

    Raises:
        FileNotFoundError: there is no such file.
        Unavailable: this host gives no device.
    """
    with opened(image, os.O_RDWR) as file:
        shown = Status(flags=_DIRECT_IO, name=os.fsencode(image.stem)).packed()
        # Where the folder's filesystem cannot do direct I/O, the kernel drops that flag. Sectors
        # must not become larger when the folder moves: XFS could not be mounted any more.
        config = struct.pack("=II", file, _SECTOR) + shown + bytes(64)
        for _ in range(_TRIES):
            number = _free()
            try:
                with opened(path(number), os.O_RDWR) as fd:  # a device opened to read stays so
                    fcntl.ioctl(fd, _CONFIGURE, config)
            except OSError as error:
                # Somebody else was faster: the next one.
                if error.errno not in (errno.EBUSY, errno.ENXIO, errno.EAGAIN):
                    raise Unavailable(f"no loop device for {image}: {error.strerror}") from error
            else:
                return number
    raise Unavailable(f"no loop device for {image}: others take them all; try again")


def _free() -> int:
    try:
        with opened(_CONTROL, os.O_RDWR) as control:
            return int(fcntl.ioctl(control, _CTL_GET_FREE))
    except OSError as error:
        raise Unavailable(
            f"{_CONTROL} gives no loop device: {error.strerror}; is the kernel's module `loop` "
            f"loaded, and does the driver run as root?"
        ) from error


def status(number: int) -> Status | None:
    """Return what a device shows; None if that is nothing."""
    try:
        with opened(path(number)) as fd:
            return _status(fd)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return None
        raise


def _status(fd: int) -> Status:
    return Status.parse(fcntl.ioctl(fd, _GET_STATUS64, bytes(232)))


def clear(number: int) -> None:
    """Have a device show nothing any more; with other openers, when the last of them closes it."""
    with opened(path(number)) as fd:
        fcntl.ioctl(fd, _CLR_FD)


def keep(number: int) -> None:
    """Undo what makes a device go away at its last close."""
    with opened(path(number)) as fd:
        now = _status(fd)
        if now.flags & _AUTOCLEAR:
            kept = replace(now, flags=now.flags & ~_AUTOCLEAR)
            fcntl.ioctl(fd, _SET_STATUS64, kept.packed())


def refresh(number: int) -> None:
    """Make a device as large as its file has become."""
    with opened(path(number)) as fd:
        fcntl.ioctl(fd, _SET_CAPACITY)


def path(number: int) -> Path:
    """Return a device's path; a container's /dev may lack those that came after it was made."""
    device = Path(f"/dev/loop{number}")
    if not device.exists():
        with suppress(FileExistsError):
            os.mknod(device, stat.S_IFBLK | 0o660, os.makedev(_MAJOR, number))
    return device


def backing_file(number: int) -> str:
    """Return the path of the file that a device shows, empty if it shows none."""
    try:
        with opened(_BLOCK / f"loop{number}/loop/backing_file") as fd:
            return os.fsdecode(os.read(fd, 8192)).removesuffix("\n")
    except OSError:
        return ""


def holders(number: int) -> list[str]:
    """Return the names of devices that are made of this one."""
    return sorted(holder.name for holder in (_BLOCK / f"loop{number}/holders").glob("*"))


def numbers() -> Iterator[int]:
    """Yield all devices, whether they show a file or not."""
    with os.scandir(_BLOCK) as entries:
        for entry in entries:
            if entry.name.startswith("loop") and entry.name[4:].isdecimal():
                yield int(entry.name[4:])
