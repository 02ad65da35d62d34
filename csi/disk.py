"""The value objects of the domain: disks, snapshots, extents and what a pool has room for."""

from dataclasses import dataclass, field
from enum import StrEnum

MIB = 1 << 20
GIB = 1 << 30

FILESYSTEMS = ("ext4", "xfs", "btrfs")
DEFAULT_FILESYSTEM = "ext4"
DEFAULT_LEASE_TIMEOUT = 300.0
"""Seconds that an instance waits for a disk's lease when nothing else is said."""


class Content(StrEnum):
    """What may be on a disk's device, which decides whether it may be formatted."""

    PENDING = "pending"
    """Nobody but this driver ever wrote to it, and no mkfs has finished: mkfs may run (again)."""
    FORMATTED = "formatted"
    """This driver's mkfs finished: never format again."""
    RAW = "raw"
    """A user had the raw device: format only if it carries no signature at all."""


class SourceKind(StrEnum):
    """What a disk was cloned from."""

    DISK = "disk"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the first content of a disk came from."""

    kind: SourceKind
    name: str


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as its pool describes it; sizes are bytes, times seconds."""

    name: str
    """The exact name: also the CSI volume id and the PV's volumeHandle."""
    size: int
    filesystem: str = DEFAULT_FILESYSTEM
    """ext4, xfs or btrfs: what it is, or will be at its first mount."""
    content: Content = Content.PENDING
    created_by: str = ""
    """The app that created it; empty when nobody said."""
    source: Source | None = None
    lease_timeout: float = DEFAULT_LEASE_TIMEOUT
    read_ahead_kib: int | None = None
    """Read-ahead of its device in KiB; None leaves the kernel's default."""
    fresh_uuid: bool = False
    """A clone whose filesystem still has its origin's UUID: renew it before the first mount."""
    node: str = ""
    """The node whose pool has it; pools themselves do not say."""
    scratch_for: str = ""
    """The uid of the pod whose scratch volume it is: made for that pod, and deleted when it ends.
    Empty for a disk of users. Lists and figures leave scratch volumes out."""


@dataclass(frozen=True, slots=True)
class NewSnapshot:
    """A request for a snapshot: its name (also its id), of which disk, in which group."""

    name: str
    disk: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as its pool describes it; size in bytes."""

    name: str
    """The exact name: also the CSI snapshot id."""
    disk: str
    size: int
    created_ns: int
    """When it was cut, nanoseconds since the epoch."""
    group: str = ""
    """The group snapshot it belongs to, or empty."""
    filesystem: str = DEFAULT_FILESYSTEM
    content: Content = Content.PENDING
    node: str = ""
    """The node whose pool has it; pools themselves do not say."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes in a snapshot."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """How full a pool is; sizes in bytes."""

    size: int
    """What the pool can really hold."""
    used: int
    """What is really written, snapshots included."""
    provisioned: int
    """The sum of the sizes that disks were promised."""
    overcommit: float
    """How many times its size the pool may promise."""
    granularity: int
    """Disk sizes are multiples of this."""
    metadata_used: float = field(default=0.0)
    """The share of the pool's metadata space in use, 0 to 1; 0 where there is none."""

    @property
    def promisable(self) -> int:
        """Bytes that may still be promised to new disks, rounded down to the granularity."""
        free = self.promise_limit - self.provisioned
        return max(0, free - free % self.granularity)

    @property
    def promise_limit(self) -> int:
        """The most bytes that may be promised to disks."""
        return int(self.size * self.overcommit)


@dataclass(frozen=True, slots=True)
class StoredDisk:
    """A disk and what it takes in its pool."""

    disk: Disk
    used: int
    """Bytes that the pool keeps for it, also those that it shares with snapshots and clones. A
    filesystem that has deleted files and not been trimmed uses less."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is in a pool at one moment."""

    usage: PoolUsage
    disks: tuple[StoredDisk, ...]
    """Sorted by name."""
    snapshots: int
