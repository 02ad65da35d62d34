"""At most one change at a time to a disk, a snapshot or a group; different ones in parallel.

The CSI spec lets a plugin answer ABORTED when a call for the same volume is still under way
("ABORTED: Operation pending for volume"), which is what `Turnstile` makes of a second caller that
has waited for a moment: what is told at once becomes an Event, and a pause before the next try.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from csi import scratch
from csi.errors import Busy


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call works on; a shared claim (a clone's source) only keeps changes away."""

    kind: str
    name: str
    shared: bool = False


def _disk(name: str, *, shared: bool = False) -> Claim:
    return Claim("disk", name, shared)


def _volume(request: Any) -> list[Claim]:
    return [_disk(request.volume_id)]


def _create_volume(request: Any) -> list[Claim]:
    source = request.volume_content_source
    claims = [_disk(request.name)]
    if source.HasField("volume"):
        claims.append(_disk(source.volume.volume_id, shared=True))
    if source.HasField("snapshot"):
        claims.append(Claim("snapshot", source.snapshot.snapshot_id, shared=True))
    return claims


def _publish(request: Any) -> list[Claim]:
    claims = _volume(request)
    source = scratch.source_of(request.volume_context)
    if source is not None and scratch.is_wanted(request.volume_context):
        claims.append(Claim(source.kind, source.name, shared=True))
    return claims


def _create_snapshot(request: Any) -> list[Claim]:
    return [Claim("snapshot", request.name), _disk(request.source_volume_id, shared=True)]


def _create_group(request: Any) -> list[Claim]:
    disks = [_disk(name, shared=True) for name in dict.fromkeys(request.source_volume_ids)]
    return [Claim("group snapshot", request.name), *disks]


def _delete_group(request: Any) -> list[Claim]:
    members = [Claim("snapshot", name) for name in dict.fromkeys(request.snapshot_ids)]
    return [Claim("group snapshot", request.group_snapshot_id), *members]


def _allocated(request: Any) -> list[Claim]:
    return [Claim("snapshot", request.snapshot_id, shared=True)]


def _delta(request: Any) -> list[Claim]:
    names = dict.fromkeys((request.base_snapshot_id, request.target_snapshot_id))
    return [Claim("snapshot", name, shared=True) for name in names]


CLAIMS: Mapping[str, Callable[[Any], list[Claim]]] = {
    "CreateVolumeRequest": _create_volume,
    "DeleteVolumeRequest": _volume,
    "ControllerPublishVolumeRequest": _volume,
    "ControllerUnpublishVolumeRequest": _volume,
    "ControllerExpandVolumeRequest": _volume,
    "ControllerModifyVolumeRequest": _volume,
    "CreateSnapshotRequest": _create_snapshot,
    "DeleteSnapshotRequest": lambda request: [Claim("snapshot", request.snapshot_id)],
    "CreateVolumeGroupSnapshotRequest": _create_group,
    "DeleteVolumeGroupSnapshotRequest": _delete_group,
    "GetMetadataAllocatedRequest": _allocated,
    "GetMetadataDeltaRequest": _delta,
    "NodeStageVolumeRequest": _volume,
    "NodeUnstageVolumeRequest": _volume,
    "NodePublishVolumeRequest": _publish,
    "NodeUnpublishVolumeRequest": _volume,
    "NodeExpandVolumeRequest": _volume,
}
"""What each changing RPC works on; RPCs that only look are not held up."""


def claims(request: Message) -> list[Claim]:
    """Return what a request works on."""
    make = CLAIMS.get(request.DESCRIPTOR.name)
    return make(request) if make else []


class Turnstile:
    """Lets calls in that do not meet others at the same disk, snapshot or group."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exclusive: set[tuple[str, str]] = set()
        self._shared: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def pass_through(self, wanted: list[Claim], patience: float = 0.0) -> Iterator[None]:
        """Hold all claims while inside; raises Busy when one is taken for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not any(map(self._is_taken, wanted)), patience)
            for claim in wanted:
                if self._is_taken(claim):
                    raise Busy(
                        f'another call for {claim.kind} "{claim.name}" is under way; try again'
                    )
            for claim in wanted:
                self._take(claim)
        try:
            yield
        finally:
            with self._changed:
                for claim in wanted:
                    self._give_back(claim)
                self._changed.notify_all()

    def _is_taken(self, claim: Claim) -> bool:
        key = (claim.kind, claim.name)
        return key in self._exclusive or (not claim.shared and self._shared[key] > 0)

    def _take(self, claim: Claim) -> None:
        key = (claim.kind, claim.name)
        if claim.shared:
            self._shared[key] += 1
        else:
            self._exclusive.add(key)

    def _give_back(self, claim: Claim) -> None:
        key = (claim.kind, claim.name)
        if not claim.shared:
            self._exclusive.discard(key)
            return
        self._shared[key] -= 1
        if self._shared[key] == 0:
            del self._shared[key]
