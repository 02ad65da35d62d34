"""Disks as real loop devices, known only to a dictionary: what the node side needs of a pool."""

import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from csi.disk import MIB, Content, Disk, PoolUsage, Source, SourceKind
from csi.errors import DiskInUse, Unavailable, disk_not_found
from node import mounts

SIZE = 320 * MIB
"""The smallest round size on which every filesystem can be made."""

ROOMY = PoolUsage(size=1 << 40, used=0, provisioned=0, overcommit=1.0, granularity=MIB)


class LoopDisks:
    """Satisfies `node.devices.Devices`; tests make and change disks directly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disks: dict[str, Disk] = {}
        self.room = ROOMY
        self.broken = ""
        """Why the pool cannot be reached; empty while it can."""

    # what tests do

    def create(
        self,
        name: str,
        filesystem: str = "ext4",
        *,
        size: int = SIZE,
        content: Content = Content.PENDING,
    ) -> Disk:
        with self.file(name).open("xb") as file:
            file.truncate(size)
        return self._keep(Disk(name, size, filesystem, content))

    def clone(self, name: str, origin: str, *, frozen: bool = True) -> Disk:
        """Copy a disk as it is on its device now; not frozen is what a power cut would leave."""
        source = self._disks[origin]
        device = self.device(origin)
        mounted = mounts.of_device(device) if device else []
        with ExitStack() as thaw:
            for mount in mounted[:1] if frozen else []:
                _run("fsfreeze", "--freeze", str(mount.target))
                thaw.callback(_run, "fsfreeze", "--unfreeze", str(mount.target))
            _run("cp", "--sparse=always", str(self.file(origin)), str(self.file(name)))
        return self._keep(
            replace(
                source,
                name=name,
                source=Source(SourceKind.DISK, origin),
                content=Content.FORMATTED if source.content is Content.FORMATTED else Content.RAW,
                fresh_uuid=source.content is Content.FORMATTED,
            )
        )

    def expand(self, name: str, size: int) -> None:
        with self.file(name).open("r+b") as file:
            file.truncate(size)
        self._keep(replace(self._disks[name], size=size))

    def change(self, disk: Disk) -> None:
        self._keep(disk)

    def file(self, name: str) -> Path:
        """Where a disk's bytes are; its device's cache is not in it until it is synced."""
        return self._folder / f"{name}.img"

    # what the node side asks for

    def check(self) -> None:
        if self.broken:
            raise Unavailable(self.broken)

    def get(self, name: str) -> Disk:
        if name not in self._disks:
            raise disk_not_found(name)
        return self._disks[name]

    def attach(self, name: str) -> Path:
        self.get(name)
        device = self.device(name)
        if device is None:
            return Path(_run("losetup", "--find", "--show", str(self.file(name))))
        _run("losetup", "--set-capacity", str(device))
        return device

    def device(self, name: str) -> Path | None:
        if name not in self._disks:
            return None
        found = _run("losetup", "--noheadings", "--output", "NAME", "-j", str(self.file(name)))
        return Path(found) if found else None

    def detach(self, name: str) -> None:
        device = self.device(name)
        if device is None:
            return
        if mounts.of_device(device) or mounts.of_node(device):
            raise DiskInUse(f"{device} is mounted")
        _run("losetup", "--detach", str(device))

    def mark(self, name: str, content: Content, filesystem: str | None = None) -> None:
        disk = self.get(name)
        kind = filesystem or disk.filesystem
        self._keep(replace(disk, content=content, filesystem=kind, fresh_uuid=False))

    def usage(self) -> PoolUsage:
        self.check()
        return self.room

    def _keep(self, disk: Disk) -> Disk:
        self._disks[disk.name] = disk
        return disk


def _run(*argv: str) -> str:
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()
