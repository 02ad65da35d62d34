"""Shows the parts of a raw device as files, by FUSE: a program, which ends by SIGTERM.

Its arguments are the device and where to mount; its standard input is the JSON of a `Shown`. It
prints a line when the files are there. Nothing is copied: who reads a file reads the device.
"""

import errno
import os
import stat
import sys

import msgspec
from mfusepy import FUSE, Operations

from deploy.mover.part_files import Shown, name, number

_FOREVER = 86400.0
"""Seconds for which the kernel may keep what it knows of names: none of it changes."""

Attributes = dict[str, int]


class _Parts(Operations):
    use_ns = True

    def __init__(self, device: int, shown: Shown) -> None:
        self._device = device
        self._shown = shown
        self._folders: dict[str, list[str]] = {}
        for part in sorted(shown.times):
            folder, _, file = name(part).partition("/")
            self._folders.setdefault(f"/{folder}", []).append(file)

    def init(self, path: str) -> None:  # noqa: ARG002
        print("mounted", flush=True)

    def getattr(self, path: str, fh: int | None = None) -> Attributes:  # noqa: ARG002
        if path == "/" or path in self._folders:
            return {"st_mode": stat.S_IFDIR | 0o500, "st_nlink": 2}
        part = self._part(path)
        start, end = self._bounds(part)
        time = self._shown.times[part] * 10**9
        attributes = {"st_mode": stat.S_IFREG | 0o400, "st_nlink": 1, "st_size": end - start}
        return attributes | {"st_mtime": time, "st_ctime": time, "st_atime": time}

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
        if path == "/":
            inside = [folder.removeprefix("/") for folder in self._folders]
        else:
            inside = self._folders[path]
        return [".", "..", *inside]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        start, end = self._bounds(self._part(path))
        wanted = min(size, end - start - offset)
        data = os.pread(self._device, wanted, start + offset)
        if len(data) != wanted:
            raise OSError(errno.EIO, "the device has ended")
        return data

    def _part(self, path: str) -> int:
        try:
            part = number(path)
        except ValueError:
            part = -1
        if part not in self._shown.times or path != f"/{name(part)}":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return part

    def _bounds(self, part: int) -> tuple[int, int]:
        start = part * self._shown.part
        return start, min(start + self._shown.part, self._shown.size)


def main() -> None:
    """Show them until SIGTERM comes."""
    device, folder = sys.argv[1:]
    shown = msgspec.json.decode(sys.stdin.buffer.read(), type=Shown)
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    FUSE(
        _Parts(fd, shown),
        folder,
        foreground=True,
        nothreads=True,
        ro=True,
        attr_timeout=_FOREVER,
        entry_timeout=_FOREVER,
    )


if __name__ == "__main__":
    main()
