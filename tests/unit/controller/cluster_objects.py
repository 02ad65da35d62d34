"""Pods, claims and volumes as the API server shows them; only what matters has to be said."""

from datetime import UTC, datetime, timedelta
from typing import Any

from controller import workloads
from controller.workloads import Pod, Volume, VolumeClaim
from csi import DRIVER_NAME
from csi.disk import GIB
from csi.kubernetes_api import Object

VOLUMES = "/api/v1/persistentvolumes"

UID = "0e1b2c3d-0000-4000-8000-00000000000a"
"""Of the claim that volumes are bound to when nothing else is said."""

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def pods_of(namespace: str = "default") -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def pod(name: str = "db-0", *claims: str, **said: Any) -> Object:
    """Given: namespace, node, phase, deleting, age (seconds after NOON when it was made)."""
    made = NOON + timedelta(seconds=said.get("age", 0))
    metadata = {
        "namespace": said.get("namespace", "default"),
        "name": name,
        "uid": f"uid-of-{name}",
        "creationTimestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if said.get("deleting"):
        metadata["deletionTimestamp"] = metadata["creationTimestamp"]
    volumes = [
        {"name": f"v{number}", "persistentVolumeClaim": {"claimName": claim}}
        for number, claim in enumerate(claims or ("pgdata",))
    ]
    spec: Object = {"containers": [{"name": "app"}], "volumes": volumes}
    if node := said.get("node", "coordinator"):
        spec["nodeName"] = node
    return {"metadata": metadata, "spec": spec, "status": {"phase": said.get("phase", "Running")}}


def claim(name: str = "pgdata", **said: Any) -> Object:
    """Given: namespace, uid, volume, phase, requested, granted, and fields of its spec."""
    requested = said.get("requested", GIB)
    spec: Object = {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "miren-disk",
        "resources": {"requests": {"storage": str(requested)}},
        **said.get("spec", {}),
    }
    if volume := said.get("volume", name):
        spec["volumeName"] = volume
    status: Object = {"phase": said.get("phase", "Bound")}
    if granted := said.get("granted", requested if status["phase"] == "Bound" else 0):
        status["capacity"] = {"storage": str(granted)}
    metadata = {
        "namespace": said.get("namespace", "default"),
        "name": name,
        "uid": said.get("uid", UID),
    }
    return {"metadata": metadata, "spec": spec, "status": status}


def volume(name: str = "pgdata", **said: Any) -> Object:
    """Given: disk, namespace, claim, uid (of the claim), phase, capacity, reclaim, deleting,
    attributes, driver, annotations."""
    claimed = said.get("claim", name)
    source: Object = {
        "driver": said.get("driver", DRIVER_NAME),
        "volumeHandle": said.get("disk", name),
    }
    if attributes := said.get("attributes"):
        source["volumeAttributes"] = attributes
    spec: Object = {
        "capacity": {"storage": str(said.get("capacity", GIB))},
        "accessModes": ["ReadWriteOncePod"],
        "persistentVolumeReclaimPolicy": said.get("reclaim", "Retain"),
        "csi": source,
    }
    if claimed:
        spec["claimRef"] = {"namespace": said.get("namespace", "default"), "name": claimed}
        if uid := said.get("uid", UID):
            spec["claimRef"] |= {"uid": uid, "resourceVersion": "7"}
    metadata: Object = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": "42"}
    if annotations := said.get("annotations"):
        metadata["annotations"] = annotations
    if said.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-02T12:00:00Z"
    return {"metadata": metadata, "spec": spec, "status": {"phase": said.get("phase", "Bound")}}


def seen_pod(name: str = "db-0", *claims: str, **said: Any) -> Pod:
    return workloads.pod_of(pod(name, *claims, **said))


def seen_claim(name: str = "pgdata", **said: Any) -> VolumeClaim:
    return workloads.claim_of(claim(name, **said))


def seen_volume(name: str = "pgdata", **said: Any) -> Volume:
    found = workloads.volume_of(volume(name, **said))
    assert found is not None
    return found
