"""Loop devices: a file seen as a block device (loop(4)), one device for a file and never two.

A device is found by the file it shows, not by a record of ours: what the kernel says is all there
is, so a kill at any moment leaves nothing to forget. Devices do not go away by themselves
(LO_FLAGS_AUTOCLEAR) because a raw block volume must stay while nobody has it open.
"""

import errno
import fcntl
import itertools
import os
import signal
import stat
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from csi.errors import DiskInUse, Unavailable
from node import mounts

_CONTROL = Path("/dev/loop-control")
_BLOCK = Path("/sys/block")
_MAJOR = 7

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
_SECTOR = 512

# linux/fs.h
_BLKROSET = 0x125D
_BLKRASET = 0x1262

_DEFAULT_READ_AHEAD_KIB = 128
"""The kernel's own (VM_READAHEAD_PAGES)."""

_TRIES = 1024
_CLOSE_TIMEOUT = 1.0
"""Seconds for programs that open devices only to look at them, as udev does after each change."""


@dataclass(frozen=True, slots=True)
class _Status:
    """The structure loop_info64, as far as it matters here."""

    device: int = 0
    inode: int = 0
    offset: int = 0
    size_limit: int = 0
    flags: int = 0
    name: bytes = b""

    _LAYOUT = struct.Struct("=5Q4I64s64s32s2Q")

    def packed(self) -> bytes:
        where = (self.device, self.inode, 0, self.offset, self.size_limit)
        return self._LAYOUT.pack(*where, 0, 0, 0, self.flags, self.name[:63], b"", b"", 0, 0)

    @classmethod
    def parse(cls, data: bytes) -> "_Status":
        device, inode, _, offset, size_limit, _, _, _, flags, name, *_ = cls._LAYOUT.unpack(data)
        return cls(device, inode, offset, size_limit, flags, name)

    def shows(self, file: os.stat_result) -> bool:
        """Tell whether all of that very file can be read and written through the device."""
        is_whole = not self.offset and not self.size_limit and not self.flags & _READ_ONLY
        return is_whole and (self.device, self.inode) == (file.st_dev, file.st_ino)


class LoopDevices:
    """The loop devices of image files.

    All devices are looked at only for a file that somebody has open for writing and that was not
    seen before. Callers exclude each other when they attach or detach the same file.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def find(self, image: Path) -> Path | None:
        """Return the device that shows a file now, None also if there is no such file."""
        try:
            wanted = image.stat()
            if not _is_written(image):
                return None
        except FileNotFoundError:
            return None
        last = self._last.get(image.name)
        likely = () if last is None else (last,)
        for number in itertools.chain(likely, _numbers()):
            if _shows(number, image.name, wanted):
                self._last[image.name] = number
                return _path(number)
        return None

    def attach(self, image: Path, read_ahead_kib: int | None) -> Path:
        """Return the device that shows a file, at the file's size; configures one if needed.

        Raises:
            FileNotFoundError: there is no such file.
            Unavailable: this host gives no loop devices.
        """
        device = self.find(image)
        if device is None:
            number = _configure(image)
            self._last[image.name] = number
            device = _path(number)
            _forget_settings(device)
        else:
            _keep(device)
            refresh(device)
        if read_ahead_kib is not None:
            set_read_ahead(device, read_ahead_kib)
        return device

    def detach(self, image: Path) -> None:
        """Let the device of a file go, if there is one.

        Raises DiskInUse saying where it is mounted, or that it is open.
        """
        device = self.find(image)
        if device is None:
            return
        places = mounts.users(device)
        if places:
            raise DiskInUse(f"it is mounted at {', '.join(str(p.target) for p in places)}")
        shown = _backing_file(_number(device))
        # With other openers the kernel answers success and waits for the last of them.
        with _open(device) as fd:
            fcntl.ioctl(fd, _CLR_FD)
        if not _let_go(_number(device), shown):
            _keep(device)
            raise DiskInUse(f"its device {device} is open{_holders(device)}")
        self._last.pop(image.name, None)


def shown(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the devices that show files of a folder, each with its file."""
    for number in _numbers():
        image = folder / Path(_backing_file(number)).name
        with suppress(FileNotFoundError):
            if image != folder and _shows(number, image.name, image.stat()):
                yield _path(number), image


def refresh(device: Path) -> None:
    """Make a device as large as its file has become."""
    with _open(device) as fd:
        fcntl.ioctl(fd, _SET_CAPACITY)


def set_read_ahead(device: Path, kib: int) -> None:
    """Set how much the kernel reads ahead from a block device, in KiB."""
    with _open(device) as fd:
        fcntl.ioctl(fd, _BLKRASET, kib * 1024 // _SECTOR)


def flush(device: Path) -> None:
    """Write out what was written to a block device and is still in memory."""
    with _open(device) as fd:
        os.fsync(fd)


def activity(device: Path) -> tuple[int, ...] | None:
    """Return counters that grow with each write; None while there is something under way.

    Equal counters at two moments mean that nothing was written in between
    (Documentation/block/stat.rst).
    """
    numbers = [int(word) for word in (_BLOCK / device.name / "stat").read_text().split()]
    writes, in_flight, discards = numbers[4], numbers[8], numbers[11:12]
    return None if in_flight else (writes, *discards)


def _configure(image: Path) -> int:
    name = os.fsencode(image.stem)
    with _open(image, os.O_RDWR) as file:
        status = _Status(flags=_DIRECT_IO, name=name).packed()
        # Where the folder's filesystem cannot do direct I/O, the kernel drops that flag. Sectors
        # must not become larger when the folder moves: XFS could not be mounted any more.
        config = struct.pack("=II", file, _SECTOR) + status + bytes(64)
        for _ in range(_TRIES):
            number = _free_number()
            try:
                with _open(_node(number), os.O_RDWR) as fd:  # opened for reading, it stays so
                    fcntl.ioctl(fd, _CONFIGURE, config)
            except OSError as error:
                # Somebody else was faster: the next one.
                if error.errno not in (errno.EBUSY, errno.ENXIO, errno.EAGAIN):
                    raise Unavailable(f"no loop device for {image}: {error.strerror}") from error
            else:
                return number
    raise Unavailable(f"no loop device for {image}: others take them all; try again")


def _forget_settings(device: Path) -> None:
    """Undo what was set on a device when it showed another file; the kernel does not."""
    set_read_ahead(device, _DEFAULT_READ_AHEAD_KIB)
    with _open(device) as fd:
        fcntl.ioctl(fd, _BLKROSET, struct.pack("i", 0))


def _free_number() -> int:
    try:
        with _open(_CONTROL, os.O_RDWR) as control:
            return int(fcntl.ioctl(control, _CTL_GET_FREE))
    except OSError as error:
        raise Unavailable(
            f"{_CONTROL} gives no loop device: {error.strerror}; is the kernel's module `loop` "
            f"loaded, and does the driver run as root?"
        ) from error


def _node(number: int) -> Path:
    """Return a device's path; containers' /dev may lack devices that came after it was made."""
    path = _path(number)
    if not path.exists():
        with suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(_MAJOR, number))
    return path


def _is_written(image: Path) -> bool:
    """Tell whether somebody, such as a loop device, may have a file open for writing.

    The kernel gives no read lease on such a file (fcntl(2), "Leases").
    """
    with _open(image) as fd:
        # Sent when somebody opens the file during the lease; unlike SIGIO it kills nobody.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            return True
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _shows(number: int, name: str, wanted: os.stat_result) -> bool:
    """Tell whether a device shows that very file, whatever its path is called now."""
    # Opening a device gets in the way of whoever wants to detach it, so the name decides first.
    if not _is_named(_backing_file(number), name):
        return False
    try:
        with _open(_node(number)) as fd:
            status = _Status.parse(fcntl.ioctl(fd, _GET_STATUS64, _Status().packed()))
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    return status.shows(wanted)


def _is_named(backing_file: str, name: str) -> bool:
    return backing_file.removesuffix(" (deleted)").endswith(f"/{name}")


def _backing_file(number: int) -> str:
    """Return the path of the file that a device shows, empty if it shows none."""
    try:
        with _open(_BLOCK / f"loop{number}/loop/backing_file") as fd:
            return os.fsdecode(os.read(fd, 8192)).removesuffix("\n")
    except OSError:
        return ""


def _numbers() -> Iterator[int]:
    with os.scandir(_BLOCK) as entries:
        for entry in entries:
            if entry.name.startswith("loop") and entry.name[4:].isdecimal():
                yield int(entry.name[4:])


def _keep(device: Path) -> None:
    """Undo what makes a device go away at its last close."""
    with _open(device) as fd:
        status = _Status.parse(fcntl.ioctl(fd, _GET_STATUS64, _Status().packed()))
        if status.flags & _AUTOCLEAR:
            kept = replace(status, flags=status.flags & ~_AUTOCLEAR)
            fcntl.ioctl(fd, _SET_STATUS64, kept.packed())


def _let_go(number: int, shown: str) -> bool:
    """Wait until a cleared device does not show its file any more; false if it stays open."""
    deadline = time.monotonic() + _CLOSE_TIMEOUT
    # The kernel tells nobody when the last one closes a device.
    pause = threading.Event()
    while _backing_file(number) == shown:
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def _holders(device: Path) -> str:
    names = sorted(holder.name for holder in (_BLOCK / device.name / "holders").glob("*"))
    return f" and used by {', '.join(names)}" if names else ""


def _path(number: int) -> Path:
    return Path(f"/dev/loop{number}")


def _number(device: Path) -> int:
    return int(device.name.removeprefix("loop"))


@contextmanager
def _open(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)
