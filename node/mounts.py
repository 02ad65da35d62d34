"""The mount table of this process's mount namespace: reading it and changing it.

Mounting and unmounting are system calls made here, not runs of mount(8): starting a program costs
20 to 40 ms on a small machine, a call well below one.
"""

import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csi.errors import DiskError, DiskInUse, InvalidRequest, NotFound, Refused, Unavailable

MOUNTINFO = Path("/proc/self/mountinfo")

_FAILED = frozenset({"ro", "emergency_ro", "shutdown"})
"""What a filesystem that is writable at its mount points says after an error; the last two are
ext4's in newer kernels."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    source: str
    """What is mounted, as the filesystem calls it: usually a device's path."""
    target: Path
    """Where it is mounted."""
    root: str
    """Which part of the filesystem is seen at the target: "/" is all of it."""
    fstype: str
    options: frozenset[str]
    """Options of this one mount point."""
    super_options: frozenset[str]
    """Options of the filesystem, shared by all its mount points."""
    device: tuple[int, int]
    """Major and minor number; btrfs shows an anonymous one (major 0)."""

    @property
    def has_failed(self) -> bool:
        """Whether the kernel stopped writing to the filesystem because of an error."""
        return "rw" in self.options and not _FAILED.isdisjoint(self.super_options)

    def is_of(self, device: Path) -> bool:
        """Whether this is a mount of the filesystem on a block device."""
        return _is_of(self, block_number(device))

    def is_node(self, device: Path) -> bool:
        """Whether this is a bind mount of a block device itself, so that it can be opened."""
        return _is_node(self, block_number(device))


def mounts() -> list[Mount]:
    """Return all mounts, older ones first."""
    return [parse(line) for line in os.fsdecode(MOUNTINFO.read_bytes()).splitlines()]


def parse(line: str) -> Mount:
    """Return what one line of mountinfo says."""
    fields = line.split(" ")
    # Optional fields of any number end with a lone dash.
    dash = fields.index("-", 6)
    major, _, minor = fields[2].partition(":")
    return Mount(
        source=_decoded(fields[dash + 2]),
        target=Path(_decoded(fields[4])),
        root=_decoded(fields[3]),
        fstype=_decoded(fields[dash + 1]),
        options=frozenset(fields[5].split(",")),
        super_options=frozenset(fields[dash + 3].split(",")),
        device=(int(major), int(minor)),
    )


def of_device(device: Path) -> list[Mount]:
    """Return the mounts of the filesystem on a block device, older ones first."""
    number = block_number(device)
    return [mount for mount in mounts() if _is_of(mount, number)]


def of_node(device: Path) -> list[Mount]:
    """Return the bind mounts of a block device itself, older ones first."""
    number = block_number(device)
    return [mount for mount in mounts() if _is_node(mount, number)]


def users(device: Path) -> list[Mount]:
    """Return the mounts of both kinds, older ones first: all that use a disk."""
    number = block_number(device)
    return [mount for mount in mounts() if _is_of(mount, number) or _is_node(mount, number)]


def numbers_in_use() -> set[tuple[int, int]]:
    """Return the numbers of all block devices that have users (see `users`), in one look."""
    found = ((_filesystem_number(mount), _node_number(mount)) for mount in mounts())
    return {number for numbers in found for number in numbers if number is not None}


def at(target: Path) -> Mount | None:
    """Return what is mounted at a path: the topmost mount if there are several."""
    place = _place(target)
    return next((mount for mount in reversed(mounts()) if mount.target == place), None)


def block_number(path: Path) -> tuple[int, int] | None:
    """Return major and minor number of a block device, None if the path is no such thing."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISBLK(status.st_mode):
        return None
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def mount(device: Path, target: Path, fstype: str, options: Iterable[str] = ()) -> None:
    """Mount a filesystem at an existing directory.

    Args:
        device: the block device.
        target: where.
        fstype: the filesystem's name as the kernel knows it.
        options: words as mount(8) takes them: those that are flags of mount(2), and the
            filesystem's own.

    Raises:
        DiskInUse: the device is in use in a way that forbids it.
        Refused: the kernel does not know the filesystem, finds none, or finds it damaged.
        Unavailable: the device cannot be read.
    """
    words = list(dict.fromkeys(options))
    flags = 0
    for word in words:
        flags |= _FLAGS.get(word, 0)
    data = ",".join(word for word in words if word not in _FLAGS)
    failed = _libc.mount(
        os.fsencode(device), os.fsencode(target), fstype.encode(), flags, data.encode()
    )
    if failed:
        raise _error(ctypes.get_errno(), f"cannot mount {fstype} on {device} at {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    """Make a directory, or a file such as a device, appear at another existing one.

    The mount appears at once with its final options, so that a kill cannot leave a writable mount
    where a read-only one was asked for; mount(2) would need a second call for that. Needs Linux
    5.12 (mount_setattr(2)).

    Raises:
        NotFound: source or target do not exist.
        Refused: the kernel refuses it.
    """
    what = f"cannot bind {source} at {target}"
    tree = _call(what, _OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_FLAGS)
    try:
        if read_only:
            wanted = _MountAttr(attr_set=_MOUNT_ATTR_RDONLY)
            size = ctypes.sizeof(wanted)
            _call(what, _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), size)
        move = (tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
        _call(what, _MOVE_MOUNT, *move)
    finally:
        os.close(tree)


def unmount(target: Path) -> None:
    """Unmount the topmost mount at a path; fine if there is none.

    Raises DiskInUse when a process has files open there or something is mounted below.
    """
    if _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOENT):
        raise _error(number, f"cannot unmount {target}")


def _decoded(field: str) -> str:
    """Undo the octal escapes of space, tab, newline, backslash and hash."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _is_of(mount: Mount, number: tuple[int, int] | None) -> bool:
    return number is not None and _filesystem_number(mount) == number


def _is_node(mount: Mount, number: tuple[int, int] | None) -> bool:
    return number is not None and _node_number(mount) == number


def _filesystem_number(mount: Mount) -> tuple[int, int] | None:
    """Return the number of the block device whose filesystem is mounted."""
    if mount.device[0] != 0:
        return mount.device
    # An anonymous number, as btrfs has: what it was mounted from tells more.
    return block_number(Path(mount.source)) if mount.source.startswith("/") else None


def _node_number(mount: Mount) -> tuple[int, int] | None:
    """Return the number of the block device that is itself mounted, as a file."""
    is_file = mount.root != "/" and mount.fstype in {"devtmpfs", "tmpfs"}
    return block_number(mount.target) if is_file else None


def _place(target: Path) -> Path:
    """Return a path as the mount table shows it, without touching what is mounted there."""
    return target.parent.resolve() / target.name if target.name else target


def _error(number: int, what: str) -> DiskError:
    kind, why = _ERRORS.get(number, (Unavailable, os.strerror(number)))
    return kind(f"{what}: {why}")


_ERRORS: Mapping[int, tuple[type[DiskError], str]] = {
    errno.EBUSY: (DiskInUse, "it is in use; end the processes that have files open there"),
    errno.EINVAL: (Refused, "there is no such filesystem, it is damaged, or an option is wrong"),
    errno.EUCLEAN: (Refused, "the filesystem is damaged; check it by hand"),
    errno.ENODEV: (Refused, "this host's kernel does not know the filesystem; load its module"),
    errno.EPERM: (Refused, "the driver lacks the right to mount; run it as root, privileged"),
    errno.EACCES: (Refused, "the device is write-protected"),
    errno.EROFS: (Refused, "the device is write-protected"),
    errno.ENOSYS: (Refused, "this host's kernel is older than Linux 5.12"),
    errno.ENOENT: (NotFound, "the path does not exist"),
    errno.ENOTDIR: (InvalidRequest, "one is a folder, the other is not"),
    errno.ENXIO: (Unavailable, "the device is gone"),
}
"""What the error numbers of mount(2), move_mount(2) and umount(2) mean for a disk."""

_FLAGS: Mapping[str, int] = {
    "rw": 0,
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
    "lazytime": 1 << 25,
}
"""Options that mount(2) takes as flags (linux/mount.h)."""

_UMOUNT_NOFOLLOW = 8
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_FLAGS = 1 | os.O_CLOEXEC
"""OPEN_TREE_CLONE and OPEN_TREE_CLOEXEC."""
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY = 1

# C libraries before glibc 2.36 have no functions for these; the numbers are the same on all
# architectures that Kubernetes runs on.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


class _MountAttr(ctypes.Structure):
    """The structure mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _call(what: str, number: int, *arguments: object) -> int:
    """Make a system call by its number, or raise the error that it answers."""
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        raise _error(ctypes.get_errno(), what)
    return result
