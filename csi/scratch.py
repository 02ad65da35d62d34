"""What a pod asks for in an inline volume (`volumes[].csi`) of this driver: a scratch volume.

It is made when the pod starts and deleted when it ends, whatever ends it. kubelet hands the
volumeAttributes on as the volume_context, together with what it knows of the pod, which nobody
else can say in its place (kubernetes-csi.github.io, "Pod Info on Mount").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from csi import local_id, wish
from csi.disk import DEFAULT_FILESYSTEM, FILESYSTEMS, Source, SourceKind
from csi.errors import InvalidRequest

COPY_OF = "copyOf"
"""The disk of which it is a copy, as it is at that moment."""
SNAPSHOT = "snapshot"
"""The snapshot of which it is a copy."""
SIZE = wish.SIZE
"""Bytes of an empty one."""
FILESYSTEM = wish.FILESYSTEM
"""What an empty one is formatted as."""
MODE = "mode"
"""One of `Mode`."""

ATTRIBUTES = (COPY_OF, SNAPSHOT, SIZE, FILESYSTEM, MODE)

_KUBERNETES = "csi.storage.k8s.io/"
EPHEMERAL = f"{_KUBERNETES}ephemeral"
POD_NAMESPACE = f"{_KUBERNETES}pod.namespace"
POD_UID = f"{_KUBERNETES}pod.uid"

DEVICE = "device"
"""The file in the folder of a scratch volume in block mode: the block device itself."""

_ID = re.compile(r"csi-[0-9a-f]{64}")
"""What kubelet calls an inline volume: a hash of the pod's uid and the volume's name in it."""
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Mode(StrEnum):
    """How the pod sees it."""

    FILESYSTEM = "filesystem"
    """A folder with the files."""
    BLOCK = "block"
    """A folder with the block device: kubelet has no inline volumes that are raw devices."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A checked request for a scratch volume."""

    pod: str
    """The uid of its pod."""
    source: Source | None = None
    """What it is a copy of; None for an empty one."""
    size: int = 0
    """Bytes of an empty one; a copy is as large as its source."""
    filesystem: str = DEFAULT_FILESYSTEM
    mode: Mode = Mode.FILESYSTEM

    @property
    def is_block(self) -> bool:
        """Whether the pod gets the block device."""
        return self.mode is Mode.BLOCK

    def __str__(self) -> str:
        """Return what it is, as part of a sentence."""
        if self.source is None:
            return "the empty scratch volume"
        return f'the copy of {self.source.kind} "{self.source.name}"'


def may_be(volume_id: str) -> bool:
    """Whether kubelet may have given this id to an inline volume; disks may be called so too."""
    return _ID.fullmatch(volume_id) is not None


def is_wanted(context: Mapping[str, str]) -> bool:
    """Whether a volume_context is that of an inline volume."""
    return context.get(EPHEMERAL) == "true"


def parse(context: Mapping[str, str]) -> Scratch:
    """Check the volume_context of an inline volume.

    Raises InvalidRequest with a sentence that names the attribute.
    """
    said = {key: text for key, text in context.items() if not key.startswith(_KUBERNETES)}
    for key in said:
        if key not in ATTRIBUTES:
            known = ", ".join(ATTRIBUTES)
            raise InvalidRequest(f'volumeAttributes has "{key}", which is none of {known}')
    given = [key for key in (COPY_OF, SNAPSHOT, SIZE) if key in said]
    if len(given) != 1:
        has = " and ".join(given) or "none of them"
        raise InvalidRequest(
            f"volumeAttributes must have one of {COPY_OF}, {SNAPSHOT} and {SIZE}, but has {has}"
        )
    source = _source(said)
    if source is not None and FILESYSTEM in said:
        raise InvalidRequest(
            f"{FILESYSTEM} does not go with {given[0]}: a copy has the filesystem of its source"
        )
    return Scratch(
        pod=_uid(context),
        source=source,
        size=0 if source else _size(said[SIZE]),
        filesystem=_one_of(FILESYSTEM, said.get(FILESYSTEM, DEFAULT_FILESYSTEM), FILESYSTEMS),
        mode=Mode(_one_of(MODE, said.get(MODE, Mode.FILESYSTEM), tuple(Mode))),
    )


def source_of(context: Mapping[str, str]) -> Source | None:
    """Return what an inline volume shall be a copy of, unchecked; None when it says nothing."""
    for key, kind in ((COPY_OF, SourceKind.DISK), (SNAPSHOT, SourceKind.SNAPSHOT)):
        if key in context:
            return Source(kind, context[key])
    return None


def _source(said: Mapping[str, str]) -> Source | None:
    source = source_of(said)
    if source is None:
        return None
    key = COPY_OF if source.kind is SourceKind.DISK else SNAPSHOT
    if not source.name:
        raise InvalidRequest(f"{key} is empty: write the name of a {source.kind}")
    if source.kind is SourceKind.DISK and local_id.is_local(source.name):
        raise InvalidRequest(f'{key} names the local disk "{source.name}", which is a folder')
    return source


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
        raise InvalidRequest(f'{SIZE} must be a number of bytes such as "1073741824", not "{text}"')
    return int(text)


def _one_of(key: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise InvalidRequest(f'{key} must be one of {", ".join(choices)}, not "{text}"')
    return text


def _uid(context: Mapping[str, str]) -> str:
    uid = context.get(POD_UID, "")
    # It becomes a folder's name.
    if not _UID.fullmatch(uid):
        raise InvalidRequest(
            f'{POD_UID} must be the uid of a pod, not "{uid}"; kubelet says it if the CSIDriver '
            "object has podInfoOnMount: true"
        )
    return uid
