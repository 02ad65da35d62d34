"""The PersistentVolume of a disk, as the translator writes it and the controller keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from csi import DRIVER_NAME, TOPOLOGY_KEY
from csi.object_names import object_name

MIREN_CLASS = "miren-disk"
LOCAL_CLASS = "miren-local"
EXCLUSIVE = "ReadWriteOncePod"
"""The access mode with which the scheduler itself refuses a second pod."""

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """What differs between the volumes of two disks."""

    handle: str
    capacity: str
    claim: Mapping[str, str]
    """The claimRef: at least a namespace and a name. A volume that is reserved for nobody could be
    taken by any claim of its class."""
    node_key: str = TOPOLOGY_KEY
    node_values: Sequence[str] = ()
    """Nodes that can have it are those whose label `node_key` has one of these values."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = MIREN_CLASS
    access_modes: Sequence[str] = (EXCLUSIVE,)
    volume_mode: str = "Filesystem"
    fs_type: str = ""
    read_only: bool = False

    @property
    def name(self) -> str:
        """Return the object's name."""
        return object_name(self.handle)

    def manifest(self) -> Manifest:
        """Return the object; whatever becomes of it, the disk stays (Retain)."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **self.claim}
        term = {"key": self.node_key, "operator": "In", "values": [*self.node_values]}
        spec: Manifest = {
            "storageClassName": self.storage_class,
            "capacity": {"storage": self.capacity},
            "accessModes": [*self.access_modes],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": claim,
            "csi": self._source(),
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        }
        if self.volume_mode != "Filesystem":
            spec["volumeMode"] = self.volume_mode
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": self.name,
                "labels": {**self.labels},
                "annotations": {**self.annotations},
            },
            "spec": spec,
        }

    def _source(self) -> Manifest:
        source: Manifest = {"driver": DRIVER_NAME, "volumeHandle": self.handle}
        if self.read_only:
            source["readOnly"] = True
        if self.fs_type:
            source["fsType"] = self.fs_type
        return {**source, "volumeAttributes": {**self.attributes}}
