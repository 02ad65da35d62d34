"""What has to change so that `kubectl get pv` shows every disk, as it is.

A pure comparison of disks, PersistentVolumes and claims. No volume is ever without a claimRef: one
that is reserved for nobody could be taken by any claim of its class, and with it somebody's data.
Nothing here deletes a disk.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.volumes import context_of
from controller.workloads import Object, Reference, Volume, VolumeClaim, claim_uid
from csi import local_id
from csi.disk import Content, Disk
from csi.object_names import object_name
from csi.persistent_volume import (
    COORDINATOR,
    EXCLUSIVE,
    MIREN_CLASS,
    OF_A_MIRROR,
    PersistentVolume,
    Pin,
)
from csi.wish import SIZE


@dataclass(frozen=True, slots=True)
class Make:
    """A PersistentVolume that is missing."""

    disk: str
    manifest: Object


@dataclass(frozen=True, slots=True)
class Correct:
    """A change of a PersistentVolume that was seen in `volume`."""

    volume: Volume
    patch: Object
    why: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A PersistentVolume that was made for a disk which is gone, and that nobody has claimed."""

    volume: Volume


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that the owner of a claim has to know."""

    claim: VolumeClaim
    reason: str
    message: str


Change = Make | Correct | Remove | Tell


@dataclass(frozen=True, slots=True)
class Mirror:
    """Compares; knows where volumes of missing PVs belong."""

    namespace: str
    """The driver's own: volumes that nobody asked for yet are reserved for a claim in it."""
    coordinator: Callable[[], str]
    """Says which node is that."""

    def changes(
        self,
        disks: Sequence[Disk],
        volumes: Sequence[Volume],
        claims: Sequence[VolumeClaim],
        *,
        everywhere: bool = True,
    ) -> Iterator[Change]:
        """Yield what has to be done, the most urgent first.

        Unless the disks are those of all nodes, `everywhere`, none is taken to be gone.
        """
        known = {volume.disk for volume in volumes}
        existing = {disk.name: disk for disk in disks}
        held = {claim.reference: claim for claim in claims}
        for disk in disks:
            if disk.name not in known:
                yield from self._missing(disk, claims)
        for volume in volumes:
            if volume.deleting:
                continue
            settled = [*_claimed(volume, held, _asking(volume.name, claims))]
            yield from settled
            if volume.disk in existing:
                if not any(isinstance(change, Correct) for change in settled):
                    yield from _sized(volume, existing[volume.disk], held)
            elif everywhere and not local_id.is_local(volume.disk):
                yield from _without_disk(volume, held)

    def _missing(self, disk: Disk, claims: Iterable[VolumeClaim]) -> Iterator[Change]:
        asking = _provisioned_for(disk.name, claims)
        if asking is not None and not asking.volume:
            return  # external-provisioner is about to make it
        # Who had it comes before who waits for it.
        others = sorted(_asking(object_name(disk.name), claims), key=_is_pending)
        bound = asking or next(iter(others), None)
        reference = bound.reference if bound else self._home(disk)
        yield Make(disk.name, self._volume(disk, reference, bound).manifest())

    def _home(self, disk: Disk) -> Reference:
        """Return for whom a disk is kept that no claim asks for."""
        namespace, _, name = disk.created_by.partition("/")
        if claim_uid(disk.name) and name:
            return Reference(namespace, name)  # the claim that it was made for
        return Reference(self.namespace, object_name(disk.name))

    def _volume(
        self, disk: Disk, reference: Reference, bound: VolumeClaim | None
    ) -> PersistentVolume:
        mode = "Block" if disk.content is Content.RAW else "Filesystem"
        # It has to be as large as a claim asks for, until that is bound.
        asked = bound.requested if bound and _is_pending(bound) else 0
        return PersistentVolume(
            handle=disk.name,
            capacity=str(max(disk.size, asked)),
            claim=_claim_ref(reference, bound),
            pin=COORDINATOR if disk.node == self.coordinator() else Pin.to_node(disk.node),
            annotations=OF_A_MIRROR,
            wish=context_of(disk),
            storage_class=bound.storage_class if bound else MIREN_CLASS,
            access_modes=bound.access_modes if bound else [EXCLUSIVE],
            volume_mode=bound.volume_mode if bound else mode,
        )


def _claimed(
    volume: Volume, held: Mapping[Reference, VolumeClaim], asking: Sequence[VolumeClaim]
) -> Iterator[Change]:
    """Yield what makes a volume go to the next claim that asks for it by name."""
    claim = volume.claim
    if claim is None:
        return
    named = held.get(claim)
    # A claim of that name may be another one by now, or have another volume.
    owner = named if named and named.volume in {"", volume.name} else None
    waiting = [one for one in asking if _is_pending(one) and one.reference != claim]
    if owner and claim.uid in {"", owner.reference.uid}:
        lost = owner.phase == "Lost" and owner.volume == volume.name
        if lost and not claim.uid and volume.reclaim == "Retain":
            yield _reserve(volume, owner.reference, owner.reference.uid)
        for one in waiting:
            yield Tell(one, "DiskClaimed", _taken(volume, owner.reference))
        return
    had = next((one for one in asking if one.reference.uid == claim.uid), None)
    if had and not _is_pending(had) and volume.reclaim == "Retain":
        # Applied in another namespace, it names a claim there; the uid is still that of its own.
        yield _reserve(volume, had.reference, had.reference.uid)
        return
    # The claim may be newer than the list of claims: only the binder says that it is gone.
    if volume.reclaim != "Retain" or (claim.uid and volume.phase != "Released"):
        return
    if claim_uid(volume.disk):  # made for one claim of one namespace, it stays there
        waiting = [one for one in waiting if one.reference.namespace == claim.namespace]
    heir = owner or next(iter(waiting), None)
    if heir or volume.phase == "Released":
        yield _reserve(volume, heir.reference if heir else claim, None)


def _without_disk(volume: Volume, held: Mapping[Reference, VolumeClaim]) -> Iterator[Change]:
    claim = held.get(volume.claim) if volume.claim else None
    if claim and SIZE not in volume.wish:
        yield Tell(claim, "DiskNotFound", _unknown(volume.disk))
    elif volume.is_mirror and not claim:
        yield Remove(volume)


def _reserve(volume: Volume, claim: Reference, uid: str | None) -> Correct:
    """Return the change after which a volume is for a claim, and for that very one with a uid."""
    named = {"namespace": claim.namespace, "name": claim.name}
    reference = {**named, "uid": uid, "resourceVersion": None}
    return Correct(volume, {"spec": {"claimRef": reference}}, f"free for claim {claim}")


def _is_pending(claim: VolumeClaim) -> bool:
    return claim.phase == "Pending"


def _sized(volume: Volume, disk: Disk, held: Mapping[Reference, VolumeClaim]) -> Iterator[Change]:
    """Yield the correction of a capacity, but not while that is external-resizer's to change."""
    if volume.capacity == disk.size:
        return
    claim = held.get(volume.claim) if volume.claim else None
    growing = claim is not None and claim.requested > (claim.granted or claim.requested)
    # A claim binds only to a volume that is as large as it asks for.
    waiting = volume.phase != "Bound" and disk.size < volume.capacity
    if not growing and not waiting:
        patch = {"spec": {"capacity": {"storage": str(disk.size)}}}
        yield Correct(volume, patch, f"has {disk.size} bytes")


def _asking(name: str, claims: Iterable[VolumeClaim]) -> list[VolumeClaim]:
    return [claim for claim in claims if claim.volume == name]


def _provisioned_for(disk: str, claims: Iterable[VolumeClaim]) -> VolumeClaim | None:
    uid = claim_uid(disk)
    return next((claim for claim in claims if claim.reference.uid == uid), None)


def _claim_ref(reference: Reference, bound: VolumeClaim | None) -> dict[str, str]:
    named = {"namespace": reference.namespace, "name": reference.name}
    # A claim that has lost its volume takes only one that is bound to itself.
    return {**named, "uid": reference.uid} if bound and not _is_pending(bound) else named


def _unknown(disk: str) -> str:
    return f'disk "{disk}" does not exist and no size specified for auto-creation'


def _taken(volume: Volume, owner: Reference) -> str:
    return f'disk "{volume.disk}" is claimed by {owner}; delete that claim first'
