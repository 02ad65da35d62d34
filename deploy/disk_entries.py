"""Reading `[[services.NAME.disks]]`, and the rules that span several of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from csi.disk import DEFAULT_LEASE_TIMEOUT
from deploy.fields import Fields
from deploy.model import DiskSpec, Filesystem, Provider
from deploy.names import LONGEST_HANDLE, LONGEST_LOCAL_NAME
from deploy.positions import KeyPath
from deploy.problems import Findings, quoted, shown_path

# More would not fit the signed 64-bit number of bytes that a size is in CSI.
LARGEST_GIB = 2**33 - 1
# Linux' PATH_MAX, less the final NUL.
LONGEST_PATH = 4095
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_NOT_FOR_LOCAL = ("size_gb", "filesystem", "lease_timeout")
_SETTINGS = ("size_gb", "filesystem", "read_only", "lease_timeout")


@dataclass(frozen=True, slots=True)
class DiskUse:
    """A disk that a service asks for, and where in the file it does."""

    path: KeyPath
    service: str
    disk: DiskSpec


def read_disk(fields: Fields) -> DiskSpec | None:
    """Return a disk; None where its provider is wrong, so that nothing can be said about it."""
    provider = fields.choice("provider", Provider, Provider.MIREN)
    longest = LONGEST_LOCAL_NAME if provider is Provider.LOCAL else LONGEST_HANDLE
    disk = DiskSpec(
        name=fields.name("my-data", longest),
        mount_path=_read_mount_path(fields),
        provider=provider or Provider.MIREN,
        # Zero is Miren's way to leave the size open.
        size_gb=fields.integer("size_gb", 0, LARGEST_GIB) or None,
        filesystem=fields.choice("filesystem", Filesystem, Filesystem.EXT4) or Filesystem.EXT4,
        read_only=fields.boolean("read_only"),
        lease_timeout=fields.duration("lease_timeout", DEFAULT_LEASE_TIMEOUT, example="5m"),
    )
    if provider is not Provider.LOCAL:
        return disk if provider else None
    for key in _NOT_FOR_LOCAL:
        if key in fields:
            instead = 'remove it, or write provider = "miren" for a disk of its own'
            fields.warn(key, "means nothing for a local disk", instead)
    return DiskSpec(disk.name, disk.mount_path, provider, read_only=disk.read_only)


def _read_mount_path(fields: Fields) -> str:
    """Return the mount path, written the one way in which equal paths are equal."""
    path = fields.required_string("mount_path", "/data")
    if path is None:
        return ""
    steps = [step for step in path.split("/") if step not in ("", ".")]
    normal = "/" + "/".join(steps)
    example = 'write mount_path = "/data"'
    if not path.isprintable():
        fields.error(
            "mount_path", f"is {quoted(path)}, with characters no path should have", example
        )
    elif ".." in steps:
        fields.error("mount_path", f'is {quoted(path)}, which contains ".."', example)
    elif not path.startswith("/"):
        # Not for "~/data" or "C:\\data", which mean something else than a path in the container.
        instead = f"write mount_path = {quoted(normal)}" if _PLAIN.fullmatch(path) else example
        fields.error("mount_path", f"is {quoted(path)}, which is not absolute", instead)
    elif not steps:
        fields.error("mount_path", "is the container's root, which would hide its image", example)
    elif ":" in path:
        what = f'is {quoted(path)}, but Kubernetes allows no ":" in a mount path'
        fields.error("mount_path", what, example)
    elif len(path.encode()) > LONGEST_PATH:
        fields.error("mount_path", f"is longer than {LONGEST_PATH} bytes", example)
    return normal


def check_disks(uses: Sequence[DiskUse], findings: Findings) -> None:
    """Note what is wrong between the disks of an app, though each alone is right."""
    _check_mount_paths(uses, findings)
    _check_exclusive(uses, findings)
    _check_providers(uses, findings)


def _check_mount_paths(uses: Sequence[DiskUse], findings: Findings) -> None:
    first: dict[tuple[str, str], DiskUse] = {}
    for use in uses:
        other = first.setdefault((use.service, use.disk.mount_path), use)
        if other is not use and use.disk.mount_path:
            what = f"is {quoted(use.disk.mount_path)}, where {_place(other, findings)} is mounted"
            findings.error((*use.path, "mount_path"), what, "give each disk a path of its own")


def _check_exclusive(uses: Sequence[DiskUse], findings: Findings) -> None:
    first: dict[str, DiskUse] = {}
    for use in uses:
        if not use.disk.is_miren or not use.disk.name:
            continue
        other = first.setdefault(use.disk.name, use)
        if other.service != use.service:
            what = (
                f"is {quoted(use.disk.name)}, which is also {_place(other, findings)}: "
                "only one instance at a time can hold a miren disk, read_only or not"
            )
            instead = 'give each service its own disk, or share a directory with provider = "local"'
            findings.error((*use.path, "name"), what, instead)
        elif other is not use:
            what = f"is {quoted(use.disk.name)} again, as {_place(other, findings)}"
            what += _differing(use.disk, other.disk)
            findings.error((*use.path, "name"), what, "name each disk once in a service")


def _differing(disk: DiskSpec, other: DiskSpec) -> str:
    keys = [key for key in _SETTINGS if getattr(disk, key) != getattr(other, key)]
    return f", but with another {' and '.join(keys)}" if keys else ""


def _check_providers(uses: Sequence[DiskUse], findings: Findings) -> None:
    first: dict[str, DiskUse] = {}
    for use in uses:
        other = first.setdefault(use.disk.name, use)
        if other.disk.provider != use.disk.provider and use.disk.name:
            what = (
                f'is {quoted(use.disk.name)} with provider "{use.disk.provider}", '
                f'but with "{other.disk.provider}" at {_place(other, findings)}'
            )
            findings.warn((*use.path, "name"), what, "these are two disks: name them apart")


def _place(use: DiskUse, findings: Findings) -> str:
    return shown_path(use.path) + findings.line_of(use.path)
