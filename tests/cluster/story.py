"""All that the driver does in a cluster, in one story."""

import json

from csi import DRIVER_NAME
from tests.cluster.apps import Apps, Manifest, claim, pod
from tests.cluster.driver import LABEL, NAMESPACE
from tests.cluster.waiting import wait_until

SNAPSHOTS = "snapshot.storage.k8s.io"
GROUP_SNAPSHOTS = "groupsnapshot.storage.k8s.io"
PASSING = "passing"
"""The class of claims that get a disk at once, which is deleted with them."""

_FLEETING = "fleeting"
_REFUSED = "refused"
_TOGETHER = {"matchLabels": {"backup": "together"}}
_HUGE = "100Ti"


def storage_class(name: str, binding: str = "Immediate") -> Manifest:
    """A class of an operator's own, whose disks are deleted with their claims."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER_NAME,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": binding,
    }


def snapshot(name: str, kind: str = "VolumeSnapshot", **source: object) -> Manifest:
    """A VolumeSnapshot or VolumeGroupSnapshot."""
    group = {"VolumeSnapshot": SNAPSHOTS, "VolumeGroupSnapshot": GROUP_SNAPSHOTS}[kind]
    class_name = kind[0].lower() + kind[1:] + "ClassName"
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {class_name: "miren-disk", "source": source},
    }


def told(apps: Apps, about: str, what: str) -> None:
    """Wait for an event about an object that says something."""

    def is_told() -> bool:
        return any(what in message for message in apps.events(about))

    try:
        wait_until(is_told, f"an event about {about} says: {what}", within=30)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *apps.events(about)])) from None


def _refused_group_snapshot() -> list[Manifest]:
    """One that the driver refuses, and its class, with a parameter that there is not."""
    refused = snapshot(_REFUSED, "VolumeGroupSnapshot", selector=_TOGETHER)
    refused["spec"]["volumeGroupSnapshotClassName"] = _REFUSED
    its_class = {
        "apiVersion": f"{GROUP_SNAPSHOTS}/v1",
        "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": _REFUSED},
        "driver": DRIVER_NAME,
        "deletionPolicy": "Delete",
        "parameters": {"tier": "gold"},
    }
    return [its_class, refused]


class Story:
    """All that the driver does, told as fast as it can be: every step starts what can run at once.

    What is asserted here is only that things happen; other modules test that they happen well.
    """

    def __init__(self, apps: Apps) -> None:
        self._apps = apps

    def tell(self) -> None:
        """From the first claim to the last deletion."""
        self._provision()
        self._share()
        self._copy()
        self._clean_up()

    def _provision(self) -> None:
        tuned = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttributesClass",
            "metadata": {"name": "tuned"},
            "driverName": DRIVER_NAME,
            "parameters": {"readAheadKiB": "512"},
        }
        data, spare = claim("data"), claim("spare", storage_class=PASSING)
        for one in (data, spare):
            one["metadata"]["labels"] = _TOGETHER["matchLabels"]
        spare["spec"]["volumeAttributesClassName"] = "tuned"
        first = pod("first", {"/data": "data", "/spare": "spare"})
        self._apps.apply(
            tuned, data, spare, first, claim("huge", size=_HUGE, storage_class=PASSING)
        )
        self._apps.apply(storage_class(_FLEETING, "WaitForFirstConsumer"), self._outrun())
        self._apps.ready("first")

    def _outrun(self) -> Manifest:
        """A claim that comes to a node whose last room went while the scheduler chose it."""
        late = claim("late", size=_HUGE, storage_class=_FLEETING)
        node = self._apps.get("node", "--selector", LABEL)["items"][0]["metadata"]["name"]
        late["metadata"]["annotations"] = {"volume.kubernetes.io/selected-node": node}
        return late

    def _share(self) -> None:
        more = '{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}'
        self._apps.kubectl("patch", "pvc", "data", "-p", more)
        self._apps.apply(
            pod("second", {"/data": "data"}),
            snapshot("one", persistentVolumeClaimName="data"),
            snapshot("all", "VolumeGroupSnapshot", selector=_TOGETHER),
            *_refused_group_snapshot(),
        )
        told(self._apps, "second", "is held by")

    def _copy(self) -> None:
        self._apps.wait("volumesnapshot/one", "jsonpath={.status.readyToUse}=true")
        of_snapshot = {"apiGroup": SNAPSHOTS, "kind": "VolumeSnapshot", "name": "one"}
        of_claim = {"kind": "PersistentVolumeClaim", "name": "spare"}
        sources = {"restored": of_snapshot, "cloned": of_claim}
        copies = [
            claim(name, source=source, storage_class=PASSING, size="128Mi")
            for name, source in sources.items()
        ]
        self._apps.apply(*copies)
        self._apps.delete("pod", "first")
        for name in sources:
            self._apps.wait(f"pvc/{name}", "jsonpath={.status.phase}=Bound")
        volume = self._apps.get("pvc", "data")["spec"]["volumeName"]
        self._apps.wait(f"pv/{volume}", "jsonpath={.spec.capacity.storage}=128Mi")
        self._apps.wait("volumegroupsnapshot/all", "jsonpath={.status.readyToUse}=true")
        self._apps.wait(f"volumegroupsnapshot/{_REFUSED}", "jsonpath={.status.error.message}")
        self._apps.ready("second")

    def _clean_up(self) -> None:
        capacities = self._capacities()
        assert _FLEETING in capacities
        self._apps.kubectl("delete", "storageclass", _FLEETING)
        self._apps.delete("volumegroupsnapshot", "all", _REFUSED)
        self._apps.kubectl("delete", "volumegroupsnapshotclass", _REFUSED)
        self._apps.delete("volumesnapshot", "--all")
        volumes = [self._apps.volume_of(name) for name in ("spare", "restored", "cloned")]
        self._apps.delete("pvc", "huge", "late", "spare", "restored", "cloned")
        for volume in volumes:
            self._apps.wait(f"pv/{volume['metadata']['name']}", "delete")
        wait_until(lambda: _FLEETING not in self._capacities(), "no capacity is left", within=30)
        self._apps.kubectl("delete", "volumeattributesclass", "tuned")

    def _capacities(self) -> set[str]:
        found = self._apps.kubectl("get", "csistoragecapacities", "-n", NAMESPACE, "-o", "json")
        return {capacity["storageClassName"] for capacity in json.loads(found)["items"]}
