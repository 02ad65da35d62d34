"""The mount flags that may be asked for: harmless to the host, to other disks and to the data.

Everything else is refused by name. That includes `dev`, `suid` and `exec`, which can only undo a
protection; `errors=panic`, which takes the host down with one disk; `nobarrier` and
`data=writeback`, which give up what a disk promises after a power cut; and `loop`, `bind`,
`remount` or `uid=`, which are no flags of these filesystems.
"""

import re
from collections.abc import Iterable, Mapping

from csi.disk import FILESYSTEMS
from csi.errors import InvalidRequest

ANY_FILESYSTEM = (
    "ro",
    "rw",
    "noatime",
    "nodiratime",
    "relatime",
    "lazytime",
    "sync",
    "dirsync",
    "noexec",
    "nosuid",
    "nodev",
)
"""Flags of mount(2) itself."""

ONE_FILESYSTEM: Mapping[str, tuple[str, ...]] = {
    "ext4": (
        "discard",
        "nodiscard",
        "data=ordered",
        "data=journal",
        "errors=remount-ro",
        "commit=N",
    ),
    "xfs": ("discard", "nodiscard", "inode64", "largeio", "logbufs=N", "logbsize=SIZE"),
    "btrfs": (
        "discard",
        "discard=sync",
        "discard=async",
        "nodiscard",
        "compress=METHOD",
        "compress-force=METHOD",
        "space_cache=v2",
        "autodefrag",
        "noautodefrag",
        "ssd",
        "nossd",
        "commit=N",
    ),
}
"""Flags of each filesystem (ext4(5), xfs(5), btrfs(5)); capitals stand for a value."""

_VALUES: Mapping[str, str] = {
    "commit": r"[1-9]\d{0,2}",
    "logbufs": r"[2-8]",
    "logbsize": r"(16|32|64|128|256)k",
    "compress": r"no|zlib(:[1-9])?|lzo|zstd(:([1-9]|1[0-5]))?",
    "compress-force": r"no|zlib(:[1-9])?|lzo|zstd(:([1-9]|1[0-5]))?",
}


def parse(flags: Iterable[str], filesystem: str = "") -> tuple[str, ...]:
    """Return mount flags one by one, without repetitions; "noatime,sync" counts as two.

    Args:
        flags: as the request gives them. They may contain secrets (CSI spec, MountVolume), so an
            error tells a flag's name, never its value.
        filesystem: ext4, xfs, btrfs, or empty while it is not known.

    Raises:
        InvalidRequest: a flag is not allowed, or not for this filesystem.
    """
    words = tuple(dict.fromkeys(word for flag in flags for word in flag.split(",")))
    for word in words:
        _check(word, filesystem)
    if {"ro", "rw"} <= set(words):
        raise InvalidRequest("the mount flags ro and rw contradict each other")
    return words


def _check(word: str, filesystem: str) -> None:
    known = [filesystem] if filesystem else FILESYSTEMS
    allowed = [*ANY_FILESYSTEM, *(flag for name in known for flag in ONE_FILESYSTEM[name])]
    if any(_matches(word, flag) for flag in allowed):
        return
    name = word.partition("=")[0]
    similar = [flag for flag in dict.fromkeys(allowed) if flag.partition("=")[0] == name]
    of = f" for {filesystem}" if filesystem else ""
    if similar:
        raise InvalidRequest(f'mount flag "{name}" must be one of {", ".join(similar)}{of}')
    raise InvalidRequest(f'mount flag "{name}" is not allowed{of}')


def _matches(word: str, allowed: str) -> bool:
    name, _, value = word.partition("=")
    pattern = _VALUES.get(name)
    if pattern and allowed.partition("=")[0] == name:
        return bool(re.fullmatch(pattern, value))
    return word == allowed
