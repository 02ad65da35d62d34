"""Who uses a disk in a cluster: its PersistentVolume, the claim bound to that, the claim's pods."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.sizes import parse_quantity
from csi import DRIVER_NAME, wish
from csi.errors import InvalidRequest
from csi.persistent_volume import MIRROR_KEY

Object = dict[str, Any]

# Its --volume-name-prefix and a UID.
_PROVISIONED = re.compile(r"pvc-([0-9a-f-]{36})")
_OVER = {"Succeeded", "Failed"}
_NONE: Object = {}


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an object in a namespace."""

    namespace: str
    name: str
    uid: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume of this driver; sizes are bytes."""

    name: str
    uid: str
    version: str
    """Its resourceVersion."""
    disk: str
    """Its volumeHandle."""
    capacity: int
    phase: str
    reclaim: str
    wish: dict[str, str]
    """What it says about its disk, as `csi.wish`."""
    deleting: bool
    is_mirror: bool
    """Made by the controller for a disk that had none."""
    claim: Reference | None
    is_block: bool = False
    """Whether pods get it as a raw device."""


@dataclass(frozen=True, slots=True)
class VolumeClaim:
    """A PersistentVolumeClaim; sizes are bytes."""

    reference: Reference
    phase: str
    volume: str
    """The PV that it is bound to, or asks for."""
    requested: int
    granted: int
    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that uses claims."""

    reference: Reference
    node: str
    """Empty until it is scheduled."""
    phase: str
    deleting: bool
    created: datetime
    claims: frozenset[str]
    """Names of the PVCs, in the pod's namespace."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good, and its containers with it."""
        return self.phase in _OVER

    def uses(self, claim: Reference) -> bool:
        """Tell whether the claim is one of its volumes."""
        return claim.namespace == self.reference.namespace and claim.name in self.claims


def claim_uid(disk: str) -> str | None:
    """Return the UID of the claim for which external-provisioner has made a disk, if it has."""
    found = _PROVISIONED.fullmatch(disk)
    return found[1] if found else None


def volume_of(found: Object) -> Volume | None:
    """Return a PersistentVolume, None when it is not one of this driver."""
    spec, metadata = found["spec"], found["metadata"]
    source = spec.get("csi") or _NONE
    if source.get("driver") != DRIVER_NAME:
        return None
    claim = spec.get("claimRef")
    annotations = metadata.get("annotations") or _NONE
    return Volume(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        disk=source["volumeHandle"],
        capacity=_size(spec.get("capacity")),
        phase=(found.get("status") or _NONE).get("phase", ""),
        reclaim=spec.get("persistentVolumeReclaimPolicy", ""),
        wish=wish.of_volume(source.get("volumeAttributes") or _NONE, annotations),
        deleting="deletionTimestamp" in metadata,
        is_mirror=MIRROR_KEY in annotations,
        claim=_reference(claim) if claim else None,
        is_block=spec.get("volumeMode") == "Block",
    )


def claim_of(found: Object) -> VolumeClaim:
    """Return a PersistentVolumeClaim."""
    spec, status = found["spec"], found.get("status") or _NONE
    return VolumeClaim(
        reference=_reference(found["metadata"]),
        phase=status.get("phase", ""),
        volume=spec.get("volumeName", ""),
        requested=_size((spec.get("resources") or _NONE).get("requests")),
        granted=_size(status.get("capacity")),
        access_modes=tuple(spec.get("accessModes") or ()),
        volume_mode=spec.get("volumeMode") or "Filesystem",
        storage_class=spec.get("storageClassName") or "",
    )


def pod_of(found: Object) -> Pod:
    """Return a pod."""
    metadata, spec = found["metadata"], found["spec"]
    return Pod(
        reference=_reference(metadata),
        node=spec.get("nodeName", ""),
        phase=(found.get("status") or _NONE).get("phase", ""),
        deleting="deletionTimestamp" in metadata,
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        claims=frozenset(claims_of(found).values()),
    )


def claims_of(pod: Object) -> dict[str, str]:
    """Return the names of a pod's claims, by those of its volumes."""
    found = {}
    for volume in pod["spec"].get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            found[volume["name"]] = volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            # https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/, "PVC naming"
            found[volume["name"]] = f"{pod['metadata']['name']}-{volume['name']}"
    return found


def trim_pod(found: Object) -> Object | None:
    """Return what `pod_of` reads of a pod, None when it uses no claims: a cluster has many."""
    volumes = [
        {key: one[key] for key in ("name", "persistentVolumeClaim", "ephemeral") if key in one}
        for one in found["spec"].get("volumes") or []
        if "persistentVolumeClaim" in one or "ephemeral" in one
    ]
    if not volumes:
        return None
    kept = ("namespace", "name", "uid", "creationTimestamp", "deletionTimestamp")
    return {
        "metadata": {key: value for key, value in found["metadata"].items() if key in kept},
        "spec": {"nodeName": found["spec"].get("nodeName", ""), "volumes": volumes},
        "status": {"phase": (found.get("status") or _NONE).get("phase", "")},
    }


def trim_volume(found: Object) -> Object | None:
    """Return a PersistentVolume without what nobody reads, None when it is another driver's."""
    if (found["spec"].get("csi") or _NONE).get("driver") != DRIVER_NAME:
        return None
    return {
        **found,
        "metadata": {k: v for k, v in found["metadata"].items() if k != "managedFields"},
    }


def trim_claim(found: Object) -> Object:
    """Return what `claim_of` reads of a claim."""
    kept = ("namespace", "name", "uid")
    return {
        "metadata": {key: value for key, value in found["metadata"].items() if key in kept},
        "spec": found["spec"],
        "status": found.get("status") or {},
    }


def users(pods: Iterable[Pod], claim: Reference) -> list[Pod]:
    """Return the pods that use a claim and have not ended, the oldest first."""
    found = (pod for pod in pods if pod.uses(claim) and not pod.is_over)
    return sorted(found, key=lambda pod: (pod.created, str(pod.reference)))


def _reference(found: Object) -> Reference:
    return Reference(found.get("namespace", ""), found["name"], found.get("uid", ""))


def _size(amounts: Object | None) -> int:
    try:
        return parse_quantity((amounts or _NONE).get("storage", "0"))
    except InvalidRequest:
        return 0
