"""The disks of an app as PersistentVolumes and PersistentVolumeClaims.

One pair for each disk, bound to each other in both directions, so that neither waits for a
provisioner and no other claim takes the volume. The driver makes a missing disk at its first use,
as the volume's annotations say. All that may differ the next time an app is applied is in these:
Kubernetes would refuse it elsewhere, or take a larger request for the wish to grow a disk.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from csi import wish
from csi.duration import format_duration
from csi.object_names import object_name
from csi.persistent_volume import (
    EXCLUSIVE,
    LOCAL_CLASS,
    MIREN_CLASS,
    NAME_KEY,
    Manifest,
    PersistentVolume,
)
from deploy import labels
from deploy.given_environment import with_given
from deploy.model import AppConfig, DiskSpec
from deploy.names import is_label_value
from deploy.options import DEFAULTS, Options

# Kubernetes demands a size even where there is none to tell; no disk of an app.toml is smaller.
_NOMINAL_SIZE = "1Gi"


@dataclass(frozen=True, slots=True)
class _Volume:
    """One disk of one app, however many services mount it."""

    app: str
    disk: DiskSpec

    @property
    def handle(self) -> str:
        return self.disk.handle(self.app)

    @property
    def access_modes(self) -> list[str]:
        return [EXCLUSIVE if self.disk.is_miren else "ReadWriteOnce"]

    @property
    def storage_class(self) -> str:
        return MIREN_CLASS if self.disk.is_miren else LOCAL_CLASS

    @property
    def size(self) -> str:
        return f"{self.disk.size_gb}Gi" if self.disk.size_gb else _NOMINAL_SIZE


def translate_disks(config: AppConfig, options: Options = DEFAULTS) -> list[Manifest]:
    """Return each disk's volume and claim, ordered by their name."""
    config = with_given(config, options.environment)
    volumes = sorted(_volumes(config), key=lambda volume: object_name(volume.handle))
    return [
        manifest
        for volume in volumes
        for manifest in (_persistent_volume(volume, options), _claim(volume, options.namespace))
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


def _persistent_volume(volume: _Volume, options: Options) -> Manifest:
    name = object_name(volume.handle)
    # Other apps may use the disk later: nothing here names this one but who created it.
    return PersistentVolume(
        handle=volume.handle,
        capacity=volume.size,
        claim={"namespace": options.namespace, "name": name},
        pin=options.pin,
        labels={NAME_KEY: volume.handle} if is_label_value(volume.handle) else {},
        wish=_wish(volume),
        storage_class=volume.storage_class,
        access_modes=volume.access_modes,
    ).manifest()


def _wish(volume: _Volume) -> dict[str, str]:
    read_only = {wish.READ_ONLY: "true"} if volume.disk.read_only else {}
    if not volume.disk.is_miren:
        return read_only
    size = {wish.SIZE: volume.size} if volume.disk.size_gb else {}
    return {
        **size,
        wish.FILESYSTEM: volume.disk.filesystem.value,
        wish.CREATED_BY: volume.app,
        wish.LEASE_TIMEOUT: format_duration(volume.disk.lease_timeout),
        **read_only,
    }


def _claim(volume: _Volume, namespace: str) -> Manifest:
    name = object_name(volume.handle)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels.of_app(volume.app),
            "annotations": {NAME_KEY: volume.handle},
        },
        "spec": {
            "storageClassName": volume.storage_class,
            "volumeName": name,
            "accessModes": volume.access_modes,
            "resources": {"requests": {"storage": _NOMINAL_SIZE}},
        },
    }
