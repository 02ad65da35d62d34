"""How a volume is to be used: `VolumeCapability` of the CSI spec, checked and typed."""

from dataclasses import dataclass
from enum import IntEnum

from csi import mount_flags
from csi.disk import FILESYSTEMS
from csi.errors import InvalidRequest
from csi.stubs import csi_pb2

_PROTO = csi_pb2.VolumeCapability.AccessMode


class Mode(IntEnum):
    """Who may use a volume at the same time (CSI spec, VolumeCapability.AccessMode)."""

    SINGLE_NODE_WRITER = _PROTO.SINGLE_NODE_WRITER
    SINGLE_NODE_READER_ONLY = _PROTO.SINGLE_NODE_READER_ONLY
    MULTI_NODE_READER_ONLY = _PROTO.MULTI_NODE_READER_ONLY
    MULTI_NODE_SINGLE_WRITER = _PROTO.MULTI_NODE_SINGLE_WRITER
    MULTI_NODE_MULTI_WRITER = _PROTO.MULTI_NODE_MULTI_WRITER
    SINGLE_NODE_SINGLE_WRITER = _PROTO.SINGLE_NODE_SINGLE_WRITER
    SINGLE_NODE_MULTI_WRITER = _PROTO.SINGLE_NODE_MULTI_WRITER


_READERS = frozenset({Mode.SINGLE_NODE_READER_ONLY, Mode.MULTI_NODE_READER_ONLY})
_EXCLUSIVE = frozenset(
    {Mode.SINGLE_NODE_WRITER, Mode.SINGLE_NODE_READER_ONLY, Mode.SINGLE_NODE_SINGLE_WRITER}
)
_ACROSS_NODES = frozenset({Mode.MULTI_NODE_SINGLE_WRITER, Mode.MULTI_NODE_MULTI_WRITER})

_LARGEST_GID = (1 << 32) - 2
"""The number after it means "no change" to chown(2)."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A checked VolumeCapability."""

    mode: Mode
    block: bool = False
    """As a raw block device rather than a mounted filesystem."""
    filesystem: str = ""
    """ext4, xfs, btrfs, or empty: whatever the disk has."""
    flags: tuple[str, ...] = ()
    """Mount flags; may contain secrets, so they are never logged."""
    group: int | None = None
    """The group id that shall be able to write to the files."""

    @property
    def exclusive(self) -> bool:
        """Whether only one target path may use the volume at a time."""
        return self.mode in _EXCLUSIVE

    @property
    def read_only(self) -> bool:
        """Whether nobody may write: by the mode or by the mount flag `ro`."""
        return self.mode in _READERS or "ro" in self.flags


def parse(message: csi_pb2.VolumeCapability, *, local: bool = False) -> Capability:
    """Check a VolumeCapability.

    Args:
        message: from a request.
        local: for a local disk, which is a shared directory: never a block device, in any mode.
            A miren disk is on one node, so it has no writers on several.

    Raises:
        InvalidRequest: a field is missing, malformed or asks for what no such volume can do.
    """
    mode = _mode(message, local=local)
    kind = message.WhichOneof("access_type")
    if kind is None:
        raise InvalidRequest("volume_capability.access_type is missing: say block or mount")
    if kind == "block":
        if local:
            raise InvalidRequest("a local disk is a directory; it has no block device")
        return Capability(mode, block=True)
    filesystem = message.mount.fs_type
    if filesystem and filesystem not in FILESYSTEMS:
        raise InvalidRequest(
            f"fs_type {filesystem!r} is not supported; use {', '.join(FILESYSTEMS)}"
        )
    flags = mount_flags.parse(message.mount.mount_flags, filesystem)
    group = _group(message.mount.volume_mount_group)
    return Capability(mode, filesystem=filesystem, flags=flags, group=group)


def _mode(message: csi_pb2.VolumeCapability, *, local: bool) -> Mode:
    number = message.access_mode.mode
    if number == _PROTO.UNKNOWN:
        raise InvalidRequest("volume_capability.access_mode is missing")
    try:
        mode = Mode(number)
    except ValueError:
        raise InvalidRequest(f"access_mode {number} is not known to this driver") from None
    if mode in _ACROSS_NODES and not local:
        raise InvalidRequest(
            f"access_mode {mode.name} is not supported: a disk is on one node; "
            "use SINGLE_NODE_MULTI_WRITER (ReadWriteOnce in Kubernetes) for several writers there"
        )
    return mode


def _group(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) <= _LARGEST_GID):
        raise InvalidRequest(f"volume_mount_group must be a numeric group id, not {text!r}")
    return int(text)
