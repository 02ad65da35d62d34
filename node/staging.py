"""Staging: from a disk to a filesystem mounted, or a device bound, at one place on this node.

What may be formatted when (the rule that keeps data safe):

    content     on the device           as a filesystem               as a raw device
    PENDING     whatever: it is ours    mkfs, then FORMATTED          RAW, before it is bound
    RAW         nothing at all          mkfs, then FORMATTED          as it is
    RAW         the filesystem wanted   mounted, FORMATTED from now   as it is
    RAW         anything else           refused                       as it is
    FORMATTED   its filesystem          mounted                       stays FORMATTED
    FORMATTED   anything else           refused                       stays FORMATTED

A raw user may overwrite a FORMATTED disk; as it stays FORMATTED, nothing ever formats it again.
"""

import logging
from contextlib import suppress
from pathlib import Path

from csi import mount_flags
from csi.capability import Capability
from csi.disk import Content, Disk
from csi.errors import DiskError, DiskInUse, ForeignData, Incompatible, Refused, Unavailable
from csi.scratch import DEVICE
from node import (
    block_device,
    comparison,
    device_programs,
    filesystems,
    mounts,
    paths,
    signatures,
    superblock,
)
from node.devices import Devices
from node.filesystems import FILESYSTEMS, MINIMUM_SIZE
from node.mounts import Mount

log = logging.getLogger(__name__)

FIELD = "staging_target_path"

NODE = DEVICE
"""The file in the staging folder on which a raw block device is bound."""


def find(device: Path, path: Path) -> Mount | None:
    """Return the mount by which a disk is seen at a path where it is staged or published."""
    for place in (path, path / NODE):
        there = mounts.at(place)
        if there is not None and (there.is_of(device) or there.is_node(device)):
            return there
    return None


class Staging:
    """NodeStageVolume and NodeUnstageVolume; keeps no state but the mount table."""

    def __init__(self, devices: Devices) -> None:
        """Args: devices: where the disks' devices come from."""
        self._devices = devices

    def stage(self, name: str, path: Path, capability: Capability) -> None:
        """Stage a disk; formats one that was never used. Idempotent, safe to redo after a kill.

        Raises:
            NotFound: there is no such disk.
            Incompatible: it is staged there in another way.
            DiskInUse: it is mounted somewhere else.
            ForeignData: it holds data that is not the filesystem wanted.
            Refused: the filesystem is lost, damaged, or the disk too small for it.
            MissingProgram: the host lacks the filesystem's tools.
        """
        disk = self._devices.get(name)
        paths.make_directory(FIELD, path)
        device = self._devices.attach(name)
        try:
            self._stage(disk, device, path, capability)
        except BaseException:
            with suppress(DiskError):
                self._let_go(name, device)
            raise

    def _stage(self, disk: Disk, device: Path, path: Path, capability: Capability) -> None:
        if self._is_staged(disk, device, path, capability):
            return
        users = mounts.users(device)
        if users:
            places = ", ".join(str(mount.target) for mount in users)
            raise DiskInUse(
                f'disk "{disk.name}" is in use at {places}; unpublish and unstage it first'
            )
        device_programs.settle(device)
        block_device.refuse_if_used(device, f'disk "{disk.name}"')
        if capability.block:
            self._stage_device(disk, device, path, capability)
        else:
            self._stage_filesystem(disk, device, path, capability)

    def unstage(self, name: str, path: Path) -> None:
        """Undo `stage`; fine if there is nothing to undo.

        Raises:
            NotFound: there is no such disk.
            DiskInUse: it is still published, or its files are open.
        """
        device = self._devices.device(name)
        if device is None:
            self._devices.get(name)
        else:
            self._take_down(name, device, path)
        node = path / NODE
        if mounts.at(path) is None and node.is_file():
            paths.remove(FIELD, node)
        if device is not None:
            self._let_go(name, device)

    def _take_down(self, name: str, device: Path, path: Path) -> None:
        there = find(device, path)
        if there is None:
            return
        users = [mount.target for mount in mounts.users(device)]
        others = [str(target) for target in users if target != there.target]
        if others:
            raise DiskInUse(
                f'disk "{name}" is still published at {", ".join(others)}; unpublish it first'
            )
        for target in users:
            mounts.unmount(target)

    def _let_go(self, name: str, device: Path) -> None:
        if mounts.users(device):
            return
        # A loop device would hand this on to whatever uses it next.
        block_device.write_protect(device, on=False)
        self._devices.detach(name)

    def _is_staged(self, disk: Disk, device: Path, path: Path, capability: Capability) -> bool:
        there = mounts.at(path) or mounts.at(path / NODE)
        if there is None:
            return False
        if there.is_node(device):
            differs = comparison.access_mismatch(there, read_only=capability.read_only)
        elif there.is_of(device):
            if disk.fresh_uuid or disk.content is not Content.FORMATTED:
                # A killed predecessor had it mounted here to make its UUID new.
                mounts.unmount(path)
                return False
            differs = comparison.mismatch(there, capability, read_only=capability.read_only)
        else:
            raise Refused(f'{path} is where {there.source} is mounted, not disk "{disk.name}"')
        if there.is_node(device) != capability.block:
            differs = "as a filesystem" if capability.block else "as a block device"
        if differs:
            raise Incompatible(f'disk "{disk.name}" is already staged at {path}, but {differs}')
        if not capability.block and not capability.read_only:
            filesystems.grow(device, path, there.fstype)
        return True

    def _stage_device(self, disk: Disk, device: Path, path: Path, capability: Capability) -> None:
        if disk.content is Content.PENDING and not capability.read_only:
            self._devices.mark(disk.name, Content.RAW)
        block_device.write_protect(device, on=capability.read_only)
        paths.make_file(FIELD, path / NODE)
        mounts.bind(device, path / NODE, read_only=capability.read_only)

    def _stage_filesystem(
        self, disk: Disk, device: Path, path: Path, capability: Capability
    ) -> None:
        name = self._filesystem_of(disk, capability)
        mount_flags.parse(capability.flags, name)
        block_device.write_protect(device, on=False)
        is_new = self._make_mountable(disk, device, path, name)
        read_only = capability.read_only
        if not read_only and not is_new:
            FILESYSTEMS[name].check(device)
        try:
            filesystems.mount(device, path, name, capability.flags, read_only=read_only)
        except (Refused, Unavailable) as error:
            raise type(error)(f'disk "{disk.name}": {error}') from error
        if not read_only and not is_new:
            filesystems.grow(device, path, name)

    def _filesystem_of(self, disk: Disk, capability: Capability) -> str:
        asked = capability.filesystem or disk.filesystem
        if disk.content is Content.RAW:
            return asked
        if asked != disk.filesystem:
            log.warning(
                'disk "%s" was created as %s and is mounted as that, although fs_type says %s',
                disk.name,
                disk.filesystem,
                asked,
            )
        return disk.filesystem

    def _make_mountable(self, disk: Disk, device: Path, path: Path, name: str) -> bool:
        """Have a filesystem on the device; return whether it is a new and empty one."""
        if disk.content is Content.PENDING:
            return self._format(disk, device, name)
        if disk.content is Content.RAW:
            found = signatures.found(device)
            if not found:
                return self._format(disk, device, name)
            if found != name:
                raise ForeignData(
                    f'disk "{disk.name}" was used as a raw block device and holds {found}, not '
                    f"{name}; it is left alone: use it as a block device, or wipe it (wipefs -a)"
                )
        elif superblock.read(device, name) is None:
            raise Refused(
                f'disk "{disk.name}" was formatted as {name}, but there is no {name} on it any '
                "more; it is not formatted again: restore a snapshot or a backup"
            )
        # A raw clone may have the UUID of its origin as well, whoever formatted that.
        if disk.fresh_uuid or (disk.content is Content.RAW and disk.source):
            FILESYSTEMS[name].renew_uuid(device, path)
            self._devices.mark(disk.name, Content.FORMATTED, name)
        elif disk.content is Content.RAW:
            self._devices.mark(disk.name, Content.FORMATTED, name)
        return False

    def _format(self, disk: Disk, device: Path, name: str) -> bool:
        if disk.size < MINIMUM_SIZE[name]:
            raise Refused(
                f'disk "{disk.name}" has {disk.size} bytes, too few for {name}, which needs '
                f"{MINIMUM_SIZE[name]}; expand it, or use another filesystem"
            )
        log.info('formatting disk "%s" as %s', disk.name, name)
        FILESYSTEMS[name].make(device)
        # Before anybody can write to it: from here on it is never formatted again.
        self._devices.mark(disk.name, Content.FORMATTED, name)
        return True
