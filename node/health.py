"""What is wrong with a disk or with the pool, as seen from this node."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from csi import fullness
from csi.disk import Content, Disk
from csi.errors import DiskError, Unavailable
from node import block_device, kernel_errors, mounts, superblock
from node.devices import Devices


class Severity(StrEnum):
    """How bad it is; the words of the CSI spec (VolumeHealthErrorType, StorageHealthErrorType)."""

    DEGRADED = "DEGRADED"
    INACCESSIBLE = "INACCESSIBLE"
    DATA_LOSS = "DATA_LOSS"
    STORAGE_DEGRADED = "STORAGE_DEGRADED"
    STORAGE_UNREACHABLE = "STORAGE_UNREACHABLE"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong."""

    severity: Severity
    reason: str
    """In CamelCase, for machines."""
    message: str
    """For people."""


def of_disk(disk: Disk, device: Path | None) -> list[Condition]:
    """Return what is wrong with a disk; nothing if it is well, or not attached here.

    Args:
        disk: as the pool describes it.
        device: its device, if it is there.
    """
    if device is None:
        return []
    try:
        block_device.probe(device)
    except Unavailable as error:
        return [Condition(Severity.INACCESSIBLE, "DeviceFailed", str(error))]
    shown = mounts.of_device(device)
    if not shown:
        return _unmounted(disk, device)
    try:
        shown[0].target.stat()
    except OSError as error:
        message = f"the filesystem does not answer: {error.strerror}; restart what uses it"
        return [Condition(Severity.INACCESSIBLE, "FilesystemShutDown", message)]
    found = []
    if any(kernel_errors.has_stopped_writing(mount, device) for mount in shown):
        message = "the kernel made the filesystem read-only after an error; restart what uses it"
        found.append(Condition(Severity.DEGRADED, "FilesystemReadOnly", message))
    count = kernel_errors.count(device)
    if count:
        message = f"the filesystem met {count} errors; see the kernel's log"
        found.append(Condition(Severity.DEGRADED, "FilesystemErrors", message))
    return found


def of_storage(devices: Devices) -> list[Condition]:
    """Return what is wrong with the pool."""
    try:
        devices.check()
        pool = devices.usage()
    except DiskError as error:
        return [Condition(Severity.STORAGE_UNREACHABLE, "PoolUnreachable", str(error))]
    found = []
    if fullness.share(pool.used, pool.size) >= fullness.ALMOST_FULL:
        message = (
            f"the pool holds {pool.used} of {pool.size} bytes; extend it or delete disks and "
            "snapshots, else writes fail when it is full"
        )
        found.append(Condition(Severity.STORAGE_DEGRADED, "PoolNearlyFull", message))
    if pool.metadata_used >= fullness.ALMOST_FULL:
        message = f"the pool's metadata is {pool.metadata_used:.0%} full; extend it"
        found.append(Condition(Severity.STORAGE_DEGRADED, "PoolMetadataNearlyFull", message))
    return found


def _unmounted(disk: Disk, device: Path) -> list[Condition]:
    if disk.content is not Content.FORMATTED or mounts.of_node(device):
        return []
    if superblock.read(device, disk.filesystem) is not None:
        return []
    message = f"the disk was formatted as {disk.filesystem}, but there is none on it any more"
    return [Condition(Severity.DATA_LOSS, "FilesystemMissing", message)]
