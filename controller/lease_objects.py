"""Leases as coordination.k8s.io/v1 Lease objects, one for each disk, in the driver's namespace.

An object's name is that of the disk's PV. What a Lease has no field for is in annotations. The API
server's optimistic concurrency (resourceVersion) makes a change atomic, whoever else writes.
"""

import builtins
import json
import logging
import random
import time
from typing import Any

from controller import lease_record
from controller.lease import Lease
from controller.leases import Change, utc_now
from csi import DRIVER_NAME, KEY_PREFIX
from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import Conflict, KubernetesApi, Object
from csi.object_names import object_name

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds after which a change that others outrun again and again is given up."""

_DISK = f"{KEY_PREFIX}disk"
_STATE = f"{KEY_PREFIX}state"
_OURS = ("app.kubernetes.io/managed-by", DRIVER_NAME)
_SPEC = ("holderIdentity", "acquireTime", "renewTime", "leaseTransitions")
_ANNOTATIONS = {"node": "node", "readOnly": "read-only", "shared": "shared", "waiting": "waiting"}


class LeaseObjects:
    """A store of leases that all controllers of a cluster share."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        """Args: api: the cluster; namespace: of the Lease objects."""
        self._api = api
        self._namespace = namespace
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    def read(self, disk: str) -> Lease | None:
        """Return the disk's lease, None when it never had one."""
        found = self._get(disk)
        return self._decoded(found, disk) if found else None

    def list(self) -> list[Lease]:
        """Return all leases, sorted by disk; a damaged one keeps no other away."""
        found = self._api.list(self._path, {"labelSelector": "=".join(_OURS)})
        leases: builtins.list[Lease] = []
        for item in found:
            try:
                leases.append(self._decoded(item, _disk_of(item)))
            except Unavailable as damage:
                log.warning("%s", damage)
        return sorted(leases, key=lambda lease: lease.disk)

    def update(self, disk: str, change: Change) -> Lease | None:
        """Replace the disk's lease by what `change` makes of it, and return that."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self._get(disk)
            before = self._decoded(found, disk) if found else None
            after = change(before)
            try:
                if after != before:
                    self._store(disk, found, after)
            except (Conflict, NotFound) as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f'the lease of disk "{disk}" keeps changing') from error
                time.sleep(random.uniform(0, 0.02))
            else:
                return after

    def delete(self, disk: str) -> None:
        """Remove the disk's record, if there is one."""
        self.update(disk, lambda _: None)

    def _get(self, disk: str) -> Object | None:
        try:
            return self._api.get(f"{self._path}/{object_name(disk)}")
        except NotFound:
            return None

    def _store(self, disk: str, found: Object | None, after: Lease | None) -> None:
        path = f"{self._path}/{object_name(disk)}"
        if after is None:
            if found is not None:
                self._api.delete(path, found["metadata"]["resourceVersion"])
        elif found is None:
            self._api.create(self._path, _encode(after, {"metadata": {"name": object_name(disk)}}))
        else:
            self._api.replace(path, _encode(after, found))

    def _decoded(self, found: Object, disk: str) -> Lease:
        try:
            if _disk_of(found) != disk:
                raise ValueError(f"its annotation {_DISK} does not say {disk!r}")
            return _decode(disk, found)
        except lease_record.WRONG as error:
            raise Unavailable(
                f"the Lease {self._namespace}/{found['metadata']['name']} is not one of disk "
                f'"{disk}", or is damaged ({error}); it is left as it is. Repair it, or delete it '
                "when the disk is not in use: it says who holds the disk, and nothing else"
            ) from error


def _disk_of(found: Object) -> str:
    return str((found["metadata"].get("annotations") or {}).get(_DISK, ""))


def _encode(lease: Lease, found: Object) -> Object:
    """Return a Lease object; what others wrote into the one that was found stays there."""
    record = lease_record.encode(lease)
    annotations = {
        f"{KEY_PREFIX}{key}": value
        if isinstance(value := record[field], str)
        else json.dumps(value)
        for field, key in _ANNOTATIONS.items()
    }
    metadata = found["metadata"]
    labels = {_OURS[0]: _OURS[1], _STATE: lease.state(utc_now()).value}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata
        | {
            "labels": (metadata.get("labels") or {}) | labels,
            "annotations": (metadata.get("annotations") or {}) | annotations | {_DISK: lease.disk},
        },
        # The field is optional: without a holder there is none.
        "spec": (found.get("spec") or {})
        | {key: record[key] for key in _SPEC}
        | {"holderIdentity": lease.holder or None},
    }


def _decode(disk: str, found: Object) -> Lease:
    spec, annotations = found["spec"], found["metadata"]["annotations"]
    record: dict[str, Any] = {key: spec.get(key) for key in _SPEC}
    record["holderIdentity"] = record["holderIdentity"] or ""
    record["leaseTransitions"] = record["leaseTransitions"] or 0
    record["node"] = annotations[f"{KEY_PREFIX}node"]
    for field in ("readOnly", "shared", "waiting"):
        record[field] = json.loads(annotations[f"{KEY_PREFIX}{_ANNOTATIONS[field]}"])
    return lease_record.decode(disk, record)
