"""The Job of a mover: a pod that has a volume of this driver just as long as it runs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from csi import DRIVER_NAME, KEY_PREFIX, scratch
from csi.kubernetes_api import Object
from csi.object_names import hashed_name
from csi.persistent_volume import NAME_KEY
from deploy.operate.places import MOUNTED_AT, Repository

KIND_KEY = f"{KEY_PREFIX}mover"
"""The label of movers' Jobs and pods, with what they do."""
TOKEN_KEY = f"{KEY_PREFIX}token"
"""The annotation of a Job by which its command knows it again."""
HEARD_KEY = f"{KEY_PREFIX}heard-within"
"""The annotation of a Job with the seconds after its end in which its command hears of that."""
CONTAINER = "mover"
HEARD_WITHIN = 30
"""Seconds in which a command that only listens hears of that."""
_MAKES = {"backup", "init"}
"""The kinds that make a repository which does not exist."""
_VOLUME = "disk"
_PROGRAM = "miren-mover"
_KEPT = 900
"""Seconds for which a Job that nobody has deleted stays when it has ended.

Its command may be busy with a hook meanwhile, and learns only then how it went.
"""
_GRACE = 10

# SYS_ADMIN: without it nobody sees trusted.* attributes, or can set them (xattr(7)).
_READS = ("DAC_READ_SEARCH", "SYS_ADMIN")
_WRITES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP", "SYS_ADMIN")


@dataclass(frozen=True, slots=True)
class Image:
    """The driver's image, and how nodes get it."""

    name: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, slots=True)
class ScratchVolume:
    """The volume of a mover, which kubelet makes and removes with the pod."""

    attributes: Mapping[str, str]
    read_only: bool

    @classmethod
    def copy(cls, disk: str, snapshot: str | None, *, block: bool) -> Self:
        """Return one with what a disk, or a snapshot of it, has."""
        source = {scratch.SNAPSHOT: snapshot} if snapshot else {scratch.COPY_OF: disk}
        return cls({**source, **_mode(block)}, read_only=True)

    @classmethod
    def empty(cls, size: int, filesystem: str, *, block: bool) -> Self:
        """Return one of so many bytes with nothing in it."""
        formatted = {} if block else {scratch.FILESYSTEM: filesystem}
        return cls({scratch.SIZE: str(size), **formatted, **_mode(block)}, read_only=False)

    @property
    def is_block(self) -> bool:
        """Whether the mover gets a device."""
        return self.attributes[scratch.MODE] == scratch.Mode.BLOCK


def _mode(block: bool) -> dict[str, str]:
    return {scratch.MODE: str(scratch.Mode.BLOCK if block else scratch.Mode.FILESYSTEM)}


@dataclass(frozen=True, slots=True)
class MoverJob:
    """A Job that runs `miren-mover` once."""

    name: str
    kind: str
    """What it does: backup, restore, list …"""
    image: Image
    words: Sequence[str]
    """The mover's. None may be a secret."""
    nodes: Object
    """A NodeSelector: where it may run."""
    disk: str = ""
    volume: ScratchVolume | None = None
    repository: Repository | None = None
    secret: str = ""
    """Whose keys are its environment."""
    owner: Object | None = None
    """The owner reference that lets it go with something else."""
    suspended: bool = False
    token: str = ""
    """Tells it from another command's of the same name."""
    heard_within: int = HEARD_WITHIN
    """Seconds after its end in which its command hears how it went."""

    def manifest(self) -> Object:
        """Return the Job."""
        labels = {
            "app.kubernetes.io/name": "miren-csi",
            "app.kubernetes.io/component": "mover",
            KIND_KEY: self.kind,
        }
        said = {NAME_KEY: self.disk} if self.disk else {}
        own = {**said, HEARD_KEY: str(self.heard_within)}
        if self.token:
            own[TOKEN_KEY] = self.token
        metadata: Object = {"name": self.name, "labels": labels, "annotations": own}
        if self.owner:
            metadata["ownerReferences"] = [self.owner]
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                "backoffLimit": 0,
                "ttlSecondsAfterFinished": _KEPT,
                "suspend": self.suspended,
                "template": {
                    "metadata": {"labels": labels, "annotations": said},
                    "spec": self._pod(),
                },
            },
        }

    def _pod(self) -> Object:
        volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
        if self.volume:
            source = {
                "driver": DRIVER_NAME,
                "readOnly": self.volume.read_only,
                "volumeAttributes": dict(self.volume.attributes),
            }
            volumes.append({"name": _VOLUME, "csi": source})
        if self.repository and self.repository.folder:
            # One that is misspelled is not made by who only looks.
            kind = "DirectoryOrCreate" if self.kind in _MAKES else "Directory"
            folder = {"path": self.repository.folder, "type": kind}
            volumes.append({"name": "repository", "hostPath": folder})
        affinity = {"requiredDuringSchedulingIgnoredDuringExecution": self.nodes}
        return {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE,
            "affinity": {"nodeAffinity": affinity},
            # Where the node plugin runs, a mover must, of a node that is drained too.
            "tolerations": [{"operator": "Exists"}],
            "imagePullSecrets": [*self.image.pull_secrets],
            "containers": [self._container()],
            "volumes": volumes,
        }

    def _container(self) -> Object:
        mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]
        if self.volume:
            read_only = self.volume.read_only
            mounts.append({"name": _VOLUME, "mountPath": "/disk", "readOnly": read_only})
        if self.repository and self.repository.folder:
            mounts.append({"name": "repository", "mountPath": MOUNTED_AT})
        return {
            "name": CONTAINER,
            "image": self.image.name,
            "imagePullPolicy": self.image.pull_policy,
            "command": [_PROGRAM, *self.words],
            "env": [
                {"name": "RESTIC_REPOSITORY", "value": self.repository.url},
            ]
            if self.repository
            else [],
            "envFrom": [{"secretRef": {"name": self.secret}}] if self.secret else [],
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            "securityContext": self._rights(),
            "volumeMounts": mounts,
        }

    def _rights(self) -> Object:
        if self.volume and self.volume.is_block:
            # No other container may open a device that its volume's folder has.
            return {"privileged": True, "runAsUser": 0, "runAsGroup": 0}
        added: list[str] = []
        if self.volume:
            added += _READS if self.volume.read_only else _WRITES
        if self.repository and self.repository.folder:
            added += ["DAC_OVERRIDE"]
        return {
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": sorted({*added})},
            "seccompProfile": {"type": "RuntimeDefault"},
        }


def job_name(kind: str, disk: str) -> str:
    """Return what the Job is called that does something with a disk: only one can at a time."""
    return hashed_name(f"{kind}-{disk}", of=json.dumps([kind, disk]))


def volume_id(pod_uid: str) -> str:
    """Return the id of a mover's volume, as kubelet makes it.

    pkg/volume/csi/csi_plugin.go, makeVolumeHandle: a hash of the pod's uid and the volume's name.
    """
    return f"csi-{hashlib.sha256(f'{pod_uid}{_VOLUME}'.encode()).hexdigest()}"


def on_node(node: str) -> Object:
    """Return the NodeSelector that only this node fits."""
    term = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchFields": [term]}]}
