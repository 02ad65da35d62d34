"""Whether something that is mounted already is what a repeated request asks for."""

from csi.capability import Capability
from node.mounts import Mount

_SHOWN = frozenset({"noatime", "nodiratime", "noexec", "nosuid", "nodev", "sync", "dirsync"})
"""Mount flags that the mount table shows if and only if they were asked for."""


def mismatch(mount: Mount, capability: Capability, *, read_only: bool) -> str:
    """Return in what a mounted filesystem differs from a request; empty if it does not."""
    has = _SHOWN & (mount.options | mount.super_options)
    wanted = _SHOWN & set(capability.flags)
    if has != wanted:
        return f"with other mount flags ({', '.join(sorted(has ^ wanted))})"
    return access_mismatch(mount, read_only=read_only)


def access_mismatch(mount: Mount, *, read_only: bool) -> str:
    """Return whether a mount is read-only or writable other than asked for; empty if it is not."""
    is_read_only = "ro" in mount.options
    if is_read_only == read_only:
        return ""
    return "read-only" if is_read_only else "writable"
