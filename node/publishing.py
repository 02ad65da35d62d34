"""Publishing: making a staged disk appear at the path where a workload wants it."""

from pathlib import Path

from csi.capability import Capability
from csi.errors import DiskInUse, Incompatible, Refused
from node import block_device, comparison, kernel_errors, mounts, ownership, paths
from node.devices import Devices
from node.mounts import Mount
from node.staging import NODE

FIELD = "target_path"


class Publishing:
    """NodePublishVolume and NodeUnpublishVolume of disks in the pool."""

    def __init__(self, devices: Devices) -> None:
        """Args: devices: where the disks' devices come from."""
        self._devices = devices

    def publish(
        self, name: str, staging: Path, target: Path, capability: Capability, *, read_only: bool
    ) -> None:
        """Make a staged disk appear at `target`; idempotent.

        Args:
            name: the disk.
            staging: where it is staged.
            target: where it shall appear; made if it is missing, its parent has to exist.
            capability: how it is to be used.
            read_only: whether it shall be read-only at this target.

        Raises:
            NotFound: there is no such disk.
            Refused: it is not staged there, or not in a way that allows this.
            DiskInUse: it is published elsewhere and only one target is allowed.
            Incompatible: it is published at `target` in another way.
            InvalidRequest: the target is no fit place.
        """
        device = self._device(name)
        source = _staged(name, device, staging, capability)
        read_only = read_only or capability.read_only
        if not read_only:
            _refuse_read_only(name, source, device)
        if _is_published(name, device, target, capability, read_only=read_only):
            return
        others = _targets(device, source)
        if others and capability.exclusive:
            raise DiskInUse(
                f'disk "{name}" is published at {", ".join(map(str, others))} already, and '
                f"{capability.mode.name} allows one target only"
            )
        if capability.block:
            _protect(name, device, others, read_only=read_only)
            paths.make_file(FIELD, target)
        else:
            paths.make_directory(FIELD, target, empty=True)
            if capability.group is not None and not read_only:
                ownership.give(source.target, capability.group)
        mounts.bind(source.target, target, read_only=read_only)

    def unpublish(self, name: str, target: Path) -> None:
        """Undo `publish`, whatever is left of it; fine if there is nothing.

        Raises:
            NotFound: there is no such disk, nor anything at the target.
            Refused: something else is at the target; it is left alone.
            DiskInUse: files there are open.
        """
        unmounted = False
        while there := mounts.at(target):
            device = self._devices.device(name)
            if device is None:
                self._devices.get(name)
            if device is None or not (there.is_of(device) or there.is_node(device)):
                raise Refused(
                    f'{FIELD} {target} shows {there.source}, which is not disk "{name}"; '
                    "it is left alone"
                )
            mounts.unmount(target)
            unmounted = True
        if not paths.remove(FIELD, target) and not unmounted:
            self._devices.get(name)

    def _device(self, name: str) -> Path:
        device = self._devices.device(name)
        if device is None:
            self._devices.get(name)
            raise Refused(f'disk "{name}" is not staged on this node: it has no device here')
        return device


def _staged(name: str, device: Path, staging: Path, capability: Capability) -> Mount:
    there = mounts.at(staging / NODE if capability.block else staging)
    if there is None or not (there.is_node(device) if capability.block else there.is_of(device)):
        how = "as a block device" if capability.block else "as a filesystem"
        raise Refused(f'disk "{name}" is not staged {how} at {staging}; stage it first')
    return there


def _refuse_read_only(name: str, source: Mount, device: Path) -> None:
    if "ro" in source.options:
        raise Refused(f'disk "{name}" is staged read-only; it cannot be published writable')
    if kernel_errors.has_stopped_writing(source, device):
        raise Refused(
            f'the filesystem of disk "{name}" went read-only after an error; stop all that uses '
            "it, so that it is unstaged, and it is checked when it is staged again"
        )


def _is_published(
    name: str, device: Path, target: Path, capability: Capability, *, read_only: bool
) -> bool:
    there = mounts.at(target)
    if there is None:
        return False
    if there.is_node(device) and capability.block:
        differs = comparison.access_mismatch(there, read_only=read_only)
    elif there.is_of(device) and not capability.block:
        differs = comparison.mismatch(there, capability, read_only=read_only)
    else:
        raise Incompatible(f'{target} is taken by {there.source}, not by disk "{name}" as asked')
    if differs:
        raise Incompatible(f'disk "{name}" is already published at {target}, but {differs}')
    return True


def _targets(device: Path, source: Mount) -> list[Path]:
    return [mount.target for mount in mounts.users(device) if mount.target != source.target]


def _protect(name: str, device: Path, others: list[Path], *, read_only: bool) -> None:
    """Write-protect a raw device, since a read-only bind mount does not keep writes from one."""
    if not others:
        block_device.write_protect(device, on=read_only)
    elif block_device.is_write_protected(device) != read_only:
        raise Refused(
            f'disk "{name}" cannot be writable at one target and read-only at another '
            f"({', '.join(map(str, others))}) as a raw block device"
        )
