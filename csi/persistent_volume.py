"""The PersistentVolume of a disk, as the translator writes it and the controller keeps it.

Both write the same `spec.csi` and node affinity, which can never be changed: so an app can be
applied over a volume that the controller has made, and again with other settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from csi import COORDINATOR_LABEL, DRIVER_NAME, KEY_PREFIX, TOPOLOGY_KEY, wish
from csi.object_names import object_name

MIREN_CLASS = "miren-disk"
LOCAL_CLASS = "miren-local"
EXCLUSIVE = "ReadWriteOncePod"
"""The access mode with which the scheduler itself refuses a second pod."""

NAME_KEY = f"{KEY_PREFIX}name"
"""The annotation, and where it is one the label, that has the disk's exact name."""
MANAGED = {"app.kubernetes.io/managed-by": "miren-csi"}
MIRROR_KEY = f"{KEY_PREFIX}mirror"
"""The annotation of volumes that were made for disks which had none, and that go with them."""
OF_A_MIRROR = {MIRROR_KEY: "true", "pv.kubernetes.io/provisioned-by": DRIVER_NAME}

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pin:
    """The label of the nodes that have a disk."""

    key: str
    value: str

    @classmethod
    def to_node(cls, node: str) -> Self:
        """Return the label that only this node has."""
        return cls(TOPOLOGY_KEY, node)

    def selector(self) -> Manifest:
        """Return a NodeSelector."""
        term = {"key": self.key, "operator": "In", "values": [self.value]}
        return {"nodeSelectorTerms": [{"matchExpressions": [term]}]}


COORDINATOR = Pin(COORDINATOR_LABEL, "true")


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """What differs between the volumes of two disks."""

    handle: str
    capacity: str
    claim: Mapping[str, str]
    """The claimRef: at least a namespace and a name. A volume that is reserved for nobody could be
    taken by any claim of its class."""
    pin: Pin = COORDINATOR
    """The nodes that have it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    wish: Mapping[str, str] = field(default_factory=dict)
    """As `csi.wish`."""
    storage_class: str = MIREN_CLASS
    access_modes: Sequence[str] = (EXCLUSIVE,)
    volume_mode: str = "Filesystem"

    @property
    def name(self) -> str:
        """Return the object's name."""
        return object_name(self.handle)

    def manifest(self) -> Manifest:
        """Return the object; whatever becomes of it, the disk stays (Retain)."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **self.claim}
        spec: Manifest = {
            "storageClassName": self.storage_class,
            "capacity": {"storage": self.capacity},
            "accessModes": [*self.access_modes],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": claim,
            "csi": {"driver": DRIVER_NAME, "volumeHandle": self.handle},
            "nodeAffinity": {"required": self.pin.selector()},
        }
        if self.volume_mode != "Filesystem":
            spec["volumeMode"] = self.volume_mode
        said = {NAME_KEY: self.handle, **self.annotations, **wish.to_annotations(self.wish)}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": self.name,
                "labels": {**MANAGED, **self.labels},
                "annotations": said,
            },
            "spec": spec,
        }


def unclaimed(
    handle: str,
    capacity: str,
    namespace: str,
    *,
    pin: Pin,
    wish: Mapping[str, str],
    volume_mode: str = "Filesystem",
) -> PersistentVolume:
    """Return the volume of a disk that no claim asks for, which is kept for one in `namespace`.

    That has to be the driver's own: nobody else may make claims there.
    """
    return PersistentVolume(
        handle,
        capacity,
        {"namespace": namespace, "name": object_name(handle)},
        pin=pin,
        annotations=OF_A_MIRROR,
        wish=wish,
        volume_mode=volume_mode,
    )
