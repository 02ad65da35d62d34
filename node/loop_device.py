"""Loop devices of image files: one device for a file and never two, as long as it is wanted.

A device is found by the file it shows, not by a record of ours: what the kernel says is all there
is, so a kill at any moment leaves nothing to forget. Devices do not go away by themselves
(LO_FLAGS_AUTOCLEAR) because a raw block volume must stay while nobody has it open.
"""

import fcntl
import itertools
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from csi.errors import DiskInUse
from csi.files import opened
from node import loop_control, mounts

# linux/fs.h
_BLKROSET = 0x125D
_BLKRASET = 0x1262
_SECTOR = 512

_DEFAULT_READ_AHEAD_KIB = 128
"""The kernel's own (VM_READAHEAD_PAGES)."""

_CLOSE_TIMEOUT = 1.0
"""Seconds for programs that open devices only to look at them, as udev does after each change."""


class LoopDevices:
    """The loop devices of image files.

    All devices are looked at only for a file that somebody has open for writing and that was not
    seen before. Callers exclude each other when they attach or detach the same file.
    """

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def find(self, image: Path) -> Path | None:
        """Return the device that shows a file now, None also if there is no such file."""
        number = self._find(image)
        return None if number is None else loop_control.path(number)

    def _find(self, image: Path) -> int | None:
        try:
            wanted = image.stat()
            if not _is_written(image):
                return None
        except FileNotFoundError:
            return None
        last = self._last.get(image.name)
        likely = () if last is None else (last,)
        for number in itertools.chain(likely, loop_control.numbers()):
            if _shows(number, image.name, wanted):
                self._last[image.name] = number
                return number
        return None

    def attach(self, image: Path, read_ahead_kib: int | None) -> Path:
        """Return the device that shows a file, at the file's size; configures one if needed.

        Raises:
            FileNotFoundError: there is no such file.
            Unavailable: this host gives no loop devices.
        """
        number = self._find(image)
        if number is None:
            number = loop_control.configure(image)
            self._last[image.name] = number
            _forget_settings(loop_control.path(number))
        else:
            loop_control.keep(number)
            loop_control.refresh(number)
        device = loop_control.path(number)
        if read_ahead_kib is not None:
            set_read_ahead(device, read_ahead_kib)
        return device

    def refresh(self, image: Path) -> None:
        """Make the device of a file, if there is one, as large as the file has become."""
        number = self._find(image)
        if number is not None:
            loop_control.refresh(number)

    def detach(self, image: Path) -> None:
        """Let the device of a file go, if there is one.

        Raises DiskInUse saying where it is mounted, or that it is open.
        """
        number = self._find(image)
        if number is None:
            return
        device = loop_control.path(number)
        places = mounts.users(device)
        if places:
            raise DiskInUse(f"it is mounted at {', '.join(str(p.target) for p in places)}")
        shown = loop_control.backing_file(number)
        loop_control.clear(number)
        if not _let_go(number, shown):
            loop_control.keep(number)
            holders = loop_control.holders(number)
            who = f", by {', '.join(holders)}" if holders else ""
            raise DiskInUse(f"its device {device} is open{who}")
        self._last.pop(image.name, None)


def shown(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the devices that show files of a folder, each with its file."""
    for number in loop_control.numbers():
        image = folder / Path(loop_control.backing_file(number)).name
        with suppress(FileNotFoundError):
            if image != folder and _shows(number, image.name, image.stat()):
                yield loop_control.path(number), image


def set_read_ahead(device: Path, kib: int) -> None:
    """Set how much the kernel reads ahead from a block device, in KiB."""
    with opened(device) as fd:
        fcntl.ioctl(fd, _BLKRASET, kib * 1024 // _SECTOR)


def flush(device: Path) -> None:
    """Write out what was written to a block device and is still in memory."""
    with opened(device) as fd:
        os.fsync(fd)


def activity(device: Path) -> tuple[int, ...] | None:
    """Return counters that grow with each write; None while there is something under way.

    Equal counters at two moments mean that nothing was written in between
    (Documentation/block/stat.rst).
    """
    statistics = Path("/sys/block") / device.name / "stat"
    numbers = [int(word) for word in statistics.read_text().split()]
    writes, in_flight, discards = numbers[4], numbers[8], numbers[11:12]
    return None if in_flight else (writes, *discards)


def _forget_settings(device: Path) -> None:
    """Undo what was set on a device when it showed another file; the kernel does not."""
    set_read_ahead(device, _DEFAULT_READ_AHEAD_KIB)
    with opened(device) as fd:
        fcntl.ioctl(fd, _BLKROSET, struct.pack("i", 0))


def _is_written(image: Path) -> bool:
    """Tell whether somebody, such as a loop device, may have a file open for writing.

    The kernel gives no read lease on such a file (fcntl(2), "Leases").
    """
    with opened(image) as fd:
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
    backing_file = loop_control.backing_file(number).removesuffix(" (deleted)")
    if not backing_file.endswith(f"/{name}"):
        return False
    status = loop_control.status(number)
    return status is not None and status.shows(wanted)


def _let_go(number: int, shown: str) -> bool:
    """Wait until a cleared device does not show its file any more; false if it stays open."""
    deadline = time.monotonic() + _CLOSE_TIMEOUT
    # The kernel tells nobody when the last one closes a device.
    pause = threading.Event()
    while loop_control.backing_file(number) == shown:
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True
