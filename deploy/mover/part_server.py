"""Shows the parts of a raw device as files, by FUSE: a program, which ends by SIGTERM.

Its arguments are the device and where to mount; its standard input is the JSON of a `Shown`. It
prints a line when the files are there. Nothing is copied: who reads a file reads the device.
"""

import errno
import os
import stat
import sys

import msgspec

from deploy.mover.part_files import Shown, name, part_of

try:
    from mfusepy import FUSE, Operations
except OSError as error:
    sys.exit(f"the library of FUSE is missing (libfuse3): {error}")

_FIRST_FILE = 1 << 40
"""The inode of part 0: each is the same in each backup, as restic notes it in its lists."""
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
            return {"st_mode": stat.S_IFDIR | 0o500, "st_nlink": 2, "st_ino": _inode(path)}
        part = self._part(path)
        start, end = self._bounds(part)
        time = self._shown.times[part] * 10**9
        file = {"st_mode": stat.S_IFREG | 0o400, "st_nlink": 1, "st_ino": _FIRST_FILE + part}
        return file | {"st_size": end - start, "st_mtime": time, "st_ctime": time, "st_atime": time}

    def readdir(self, path: str, fh: int) -> list[tuple[str, Attributes, int]]:  # noqa: ARG002
        inside = (
            self._folders if path == "/" else [f"{path}/{file}" for file in self._folders[path]]
        )
        # Names without an inode are none to who lists a folder.
        listed = [(one.rpartition("/")[2], self.getattr(one), 0) for one in inside]
        return [(".", self.getattr(path), 0), ("..", self.getattr("/"), 0), *listed]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
        start, end = self._bounds(self._part(path))
        wanted = min(size, end - start - offset)
        data = os.pread(self._device, wanted, start + offset)
        if len(data) != wanted:
            raise OSError(errno.EIO, "the device has ended")
        return data

    def _part(self, path: str) -> int:
        try:
            part = part_of(path)
        except ValueError:
            part = -1
        if part not in self._shown.times or path != f"/{name(part)}":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return part

    def _bounds(self, part: int) -> tuple[int, int]:
        start = part * self._shown.part
        return start, min(start + self._shown.part, self._shown.size)


def _inode(folder: str) -> int:
    """Return what tells a folder from others; 1 is the kernel's for the top one."""
    return 2 + int(folder.removeprefix("/") or -1)


def main() -> None:
    """Show them until SIGTERM comes."""
    device, folder = sys.argv[1:]
    shown = msgspec.json.decode(sys.stdin.buffer.read(), type=Shown)
    try:
        _serve(device, folder, shown)
    except (OSError, RuntimeError) as error:
        sys.exit(f"FUSE does not work: {error}")


def _serve(device: str, folder: str, shown: Shown) -> None:
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    FUSE(
        _Parts(fd, shown),
        folder,
        foreground=True,
        nothreads=True,
        ro=True,
        use_ino=True,
        attr_timeout=_FOREVER,
        entry_timeout=_FOREVER,
    )


if __name__ == "__main__":
    main()
