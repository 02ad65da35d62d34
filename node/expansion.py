"""Growing a disk's filesystem, while it is in use, to what the pool has made of the disk."""

import logging
from pathlib import Path

from csi.errors import InvalidRequest, NotFound, OutOfRange
from node import block_device, filesystems, mounts, staging
from node.devices import Devices

log = logging.getLogger(__name__)


def expand(devices: Devices, name: str, path: Path, required: int, limit: int) -> int:
    """Grow the filesystem of a disk that is staged or published at `path`; idempotent.

    Args:
        devices: where the disks' devices come from.
        name: the disk.
        path: where it is staged or published.
        required: bytes that the disk shall have at least; 0 for whatever it has.
        limit: bytes that it may have at most; 0 for no limit.

    Returns:
        The size of the disk's device in bytes.

    Raises:
        NotFound: there is no such disk, or it is not at that path.
        InvalidRequest: the limit is below what is required.
        OutOfRange: the disk itself is smaller or larger than that.
        MissingProgram, ProgramFailed: the filesystem cannot be grown.
    """
    if limit and limit < required:
        raise InvalidRequest(f"limit_bytes {limit} is below required_bytes {required}")
    # Tells a loop device that its file has grown.
    device = devices.attach(name)
    there = staging.find(device, path)
    if there is None:
        raise NotFound(f'disk "{name}" is neither staged nor published at {path}')
    size = block_device.size(device)
    if size < required:
        raise OutOfRange(
            f'disk "{name}" has {size} bytes, not {required}: ControllerExpandVolume comes first'
        )
    if limit and size > limit:
        raise OutOfRange(f'disk "{name}" has {size} bytes already, more than limit_bytes {limit}')
    if there.is_of(device):
        _grow(name, device)
    return size


def _grow(name: str, device: Path) -> None:
    # A read-only bind mount of a writable filesystem does not take the order to grow.
    for mount in mounts.of_device(device):
        if "rw" in mount.options and not mount.has_failed:
            filesystems.grow(device, mount.target, mount.fstype)
            return
    log.info('disk "%s" is mounted read-only; it grows when it is staged writable', name)
