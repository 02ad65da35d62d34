"""The disks of an app as PersistentVolumes and PersistentVolumeClaims.

One pair for each disk, bound to each other in both directions, so that neither waits for a
provisioner and no other claim takes the volume. The driver creates a missing disk when it sees
the volume, with the size and filesystem among the volume's attributes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from csi import COORDINATOR_LABEL, KEY_PREFIX, TOPOLOGY_KEY
from csi.duration import format_duration
from csi.local_id import LocalId
from csi.object_names import is_dns_label, object_name
from csi.persistent_volume import EXCLUSIVE, LOCAL_CLASS, MIREN_CLASS, Manifest, PersistentVolume
from deploy.model import AppConfig, DiskSpec
from deploy.names import is_label_value

NAME_KEY = f"{KEY_PREFIX}name"
SIZE_KEY = f"{KEY_PREFIX}size"

# Kubernetes demands a capacity even where there is none to tell.
_NOMINAL_SIZE = "1Gi"


@dataclass(frozen=True, slots=True)
class _Volume:
    """One disk of one app, however many services mount it."""

    app: str
    disk: DiskSpec

    @property
    def handle(self) -> str:
        return self.disk.name if self.disk.is_miren else str(LocalId(self.app, self.disk.name))

    @property
    def access_modes(self) -> list[str]:
        return [EXCLUSIVE if self.disk.is_miren else "ReadWriteOnce"]

    @property
    def storage_class(self) -> str:
        return MIREN_CLASS if self.disk.is_miren else LOCAL_CLASS

    @property
    def size(self) -> str:
        return f"{self.disk.size_gb}Gi" if self.disk.size_gb else _NOMINAL_SIZE


def translate_disks(
    config: AppConfig, *, namespace: str = "default", node: str | None = None
) -> list[Manifest]:
    """Return each disk's volume and claim, ordered by their name.

    The volumes are pinned to `node`, or else to the node labelled as the coordinator.

    Raises:
        ValueError: the namespace or the node has a name that Kubernetes does not allow.
    """
    if not is_dns_label(namespace):
        raise ValueError(f'"{namespace}" is no namespace: use lower-case letters, digits, hyphens')
    if node is not None and not is_label_value(node):
        raise ValueError(f'"{node}" is no node name: see `kubectl get nodes`')
    volumes = sorted(_volumes(config), key=lambda volume: object_name(volume.handle))
    return [
        manifest
        for volume in volumes
        for manifest in (_persistent_volume(volume, namespace, node), _claim(volume, namespace))
    ]


def _volumes(config: AppConfig) -> Iterable[_Volume]:
    by_handle: dict[str, _Volume] = {}
    for disk in config.disks:
        volume = _Volume(config.name, disk)
        known = by_handle.setdefault(volume.handle, volume)
        # A directory that one service only reads, another may write.
        if known.disk.read_only:
            by_handle[volume.handle] = volume
    return by_handle.values()


def _persistent_volume(volume: _Volume, namespace: str, node: str | None) -> Manifest:
    name = object_name(volume.handle)
    # Other apps may use the disk later: nothing here names this one but who created it.
    labels = {"app.kubernetes.io/managed-by": "miren-csi"}
    if is_label_value(volume.handle):
        labels[NAME_KEY] = volume.handle
    annotations = {NAME_KEY: volume.handle}
    if volume.disk.is_miren and not volume.disk.size_gb:
        annotations[SIZE_KEY] = "unspecified"
    key, value = (COORDINATOR_LABEL, "true") if node is None else (TOPOLOGY_KEY, node)
    return PersistentVolume(
        handle=volume.handle,
        capacity=volume.size,
        claim={"namespace": namespace, "name": name},
        node_key=key,
        node_values=[value],
        labels=labels,
        annotations=annotations,
        attributes=_attributes(volume),
        storage_class=volume.storage_class,
        access_modes=volume.access_modes,
        fs_type=volume.disk.filesystem.value if volume.disk.is_miren else "",
        read_only=volume.disk.read_only,
    ).manifest()


def _attributes(volume: _Volume) -> dict[str, str]:
    if not volume.disk.is_miren:
        return {"provider": "local"}
    size = {"size": volume.size} if volume.disk.size_gb else {}
    return {
        **size,
        "filesystem": volume.disk.filesystem.value,
        "createdBy": volume.app,
        "leaseTimeout": format_duration(volume.disk.lease_timeout),
    }


def _claim(volume: _Volume, namespace: str) -> Manifest:
    name = object_name(volume.handle)
    labels = {
        "app.kubernetes.io/name": volume.app,
        "app.kubernetes.io/managed-by": "miren-csi",
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {NAME_KEY: volume.handle},
        },
        "spec": {
            "storageClassName": volume.storage_class,
            "volumeName": name,
            "accessModes": volume.access_modes,
            "resources": {"requests": {"storage": volume.size}},
        },
    }
