"""A pool without disks: what the services see of one, and the knobs that tests turn."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from csi.disk import (
    GIB,
    MIB,
    Content,
    Disk,
    Extent,
    Inventory,
    NewSnapshot,
    PoolUsage,
    Snapshot,
    SourceKind,
    StoredDisk,
)
from csi.errors import (
    DiskInUse,
    OutOfRange,
    PoolFull,
    Unavailable,
    disk_not_found,
    snapshot_not_found,
)
from node import superblock

GRANULARITY = 4 * MIB
BLOCK = 64 << 10
"""What one write changes."""

Blocks = dict[int, int]
"""The number of the last write to each block that was ever written."""


@dataclass(slots=True)
class MemoryPool:
    """Keeps its promises to services, and tells how often it was asked."""

    size: int = 100 * GIB
    overcommit: float = 2.0
    used: int = 0
    metadata_used: float = 0.0
    works: bool = True
    mounted: dict[str, str] = field(default_factory=dict)
    devices: dict[str, Path] = field(default_factory=dict)
    asked_for_usage: int = 0
    dies_after: int | None = None
    """After how many snapshots of a group the driver is killed."""
    _disks: dict[str, tuple[Disk, Blocks]] = field(default_factory=dict)
    _snapshots: dict[str, tuple[Snapshot, Blocks]] = field(default_factory=dict)
    _writes: int = 0

    def check(self) -> None:
        if not self.works:
            raise Unavailable("the pool does not answer")

    def recover(self) -> None:
        pass

    def close(self) -> None:
        pass

    def create(self, disk: Disk) -> Disk:
        self.check()
        origin, blocks = self._origin(disk)
        if disk.name in self._disks:
            return self._disks[disk.name][0]
        made: Disk = replace(disk, size=_round_up(disk.size), filesystem=origin.filesystem)
        if disk.source:
            formatted = origin.content is Content.FORMATTED
            content = Content.FORMATTED if formatted else Content.RAW
            made = replace(made, content=content, fresh_uuid=formatted)
        self._admit(made.size, f'disk "{disk.name}"')
        self._disks[disk.name] = made, dict(blocks)
        return made

    def _origin(self, disk: Disk) -> tuple[Disk | Snapshot, Blocks]:
        if disk.source is None:
            return disk, {}
        origin: tuple[Disk | Snapshot, Blocks]
        if disk.source.kind is SourceKind.DISK:
            origin = self.get(disk.source.name), self._disks[disk.source.name][1]
        else:
            origin = self.get_snapshot(disk.source.name), self._snapshots[disk.source.name][1]
        if disk.size < origin[0].size:
            raise OutOfRange(f'disk "{disk.name}" cannot hold its source')
        return origin

    def _admit(self, extra: int, what: str) -> None:
        room = self.usage().promisable
        self.asked_for_usage -= 1
        if extra > room:
            raise PoolFull(f"{what} needs {extra} bytes, the pool has {room}")

    def get(self, name: str) -> Disk:
        self.check()
        if name not in self._disks:
            raise disk_not_found(name)
        return self._disks[name][0]

    def disks(self) -> list[Disk]:
        self.check()
        return [disk for disk in self._sorted() if not disk.scratch_for]

    def scratch(self) -> list[Disk]:
        return [disk for disk in self._sorted() if disk.scratch_for]

    def _sorted(self) -> list[Disk]:
        return [self._disks[name][0] for name in sorted(self._disks)]

    def delete(self, name: str) -> None:
        self.get(name)
        if name in self.mounted:
            raise DiskInUse(f'disk "{name}" is mounted at {self.mounted[name]}')
        del self._disks[name]

    def expand(self, name: str, size: int) -> Disk:
        disk = self.get(name)
        grown = max(disk.size, _round_up(size))
        self._admit(grown - disk.size, f'disk "{name}"')
        return self._change(name, size=grown)

    def set_read_ahead(self, name: str, kib: int) -> None:
        self._change(name, read_ahead_kib=kib)

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        known = filesystem or self.get(name).filesystem
        self._change(name, content=content, filesystem=known, fresh_uuid=False)

    def _change(self, name: str, **facts: object) -> Disk:
        disk = replace(self.get(name), **facts)  # type: ignore[arg-type]
        self._disks[name] = disk, self._disks[name][1]
        return disk

    def usage(self) -> PoolUsage:
        self.check()
        self.asked_for_usage += 1
        return PoolUsage(
            size=self.size,
            used=self.used,
            provisioned=sum(disk.size for disk, _ in self._disks.values()),
            overcommit=self.overcommit,
            granularity=GRANULARITY,
            metadata_used=self.metadata_used,
        )

    def inventory(self) -> Inventory:
        disks = tuple(
            StoredDisk(disk, len(blocks) * BLOCK)
            for _, (disk, blocks) in sorted(self._disks.items())
        )
        return Inventory(self.usage(), disks, len(self._snapshots))

    def create_snapshots(self, wanted: Sequence[NewSnapshot]) -> list[Snapshot]:
        origins = [self.get(one.disk) for one in wanted]
        return [
            self._cut(one, origin, number)
            for number, (one, origin) in enumerate(zip(wanted, origins, strict=True))
        ]

    def _cut(self, wanted: NewSnapshot, origin: Disk, number: int) -> Snapshot:
        if wanted.name in self._snapshots:
            return self._snapshots[wanted.name][0]
        if number == self.dies_after:
            raise KeyboardInterrupt
        self._writes += 1
        formatted = origin.content is Content.FORMATTED
        snapshot = Snapshot(
            name=wanted.name,
            disk=wanted.disk,
            size=origin.size,
            created_ns=1_700_000_000_123_456_789 + self._writes,
            group=wanted.group,
            filesystem=origin.filesystem,
            content=Content.FORMATTED if formatted else Content.RAW,
        )
        self._snapshots[wanted.name] = snapshot, dict(self._disks[wanted.disk][1])
        return snapshot

    def get_snapshot(self, name: str) -> Snapshot:
        self.check()
        if name not in self._snapshots:
            raise snapshot_not_found(name)
        return self._snapshots[name][0]

    def snapshots(self) -> list[Snapshot]:
        self.check()
        return [self._snapshots[name][0] for name in sorted(self._snapshots)]

    def delete_snapshots(self, names: Sequence[str]) -> None:
        self.check()
        for name in names:
            self._snapshots.pop(name, None)

    def write(self, name: str, *blocks: int) -> None:
        """What a workload does: change some blocks of a disk."""
        self._writes += 1
        self._disks[name][1].update(dict.fromkeys(blocks, self._writes))

    def allocated(self, snapshot: Snapshot) -> Iterator[Extent]:
        return _extents(self._snapshots[snapshot.name][1])

    def changed(self, base: Snapshot, target: Snapshot) -> Iterator[Extent]:
        old, new = self._snapshots[base.name][1], self._snapshots[target.name][1]
        return _extents(one for one in old | new if old.get(one) != new.get(one))

    def attach(self, name: str) -> Path:
        self.get(name)
        return self.devices[name]

    def device(self, name: str) -> Path | None:
        return self.devices.get(name)

    def place(self, name: str) -> str:
        return f"memory/{name}"

    def has_lost_filesystem(self, name: str) -> bool:
        return superblock.is_missing(self.device(name), self.get(name).filesystem)

    def detach(self, name: str) -> None:
        pass


def _round_up(size: int) -> int:
    return -(-size // GRANULARITY) * GRANULARITY


def _extents(blocks: Iterable[int]) -> Iterator[Extent]:
    start: int | None = None
    end = 0
    for block in sorted(blocks):
        if start is not None and block == end:
            end += 1
            continue
        if start is not None:
            yield Extent(start * BLOCK, (end - start) * BLOCK)
        start, end = block, block + 1
    if start is not None:
        yield Extent(start * BLOCK, (end - start) * BLOCK)
