"""Volumes of ordinary workloads: what becomes of them when pods, claims and PVs come and go."""

from collections.abc import Iterator

import pytest

from controller.sizes import parse_quantity
from tests.cluster.apps import Apps, Manifest, claim, pod, pod_spec
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

SOON = 30.0
SHARED = "ReadWriteOnce"
GIB = 1 << 30
POOL = 16 * GIB
OVERCOMMIT = 2


def uid(apps: Apps, volume: str) -> str:
    """Of a PersistentVolume; empty when there is none."""
    return apps.kubectl(
        *("get", "pv", volume, "--ignore-not-found", "--output", "jsonpath={.metadata.uid}")
    )


def wait_released(driver: Driver, volume: str) -> None:
    wait_until(lambda: driver.state(volume) == "released", "the lease is released", within=SOON)


def test_a_deleted_volume_comes_back_to_the_claim_that_asks_for_it(
    driver: Driver,  # noqa: ARG001 - installed
    apps: Apps,
) -> None:
    apps.apply(claim("data"))
    apps.start("v1", {"/data": "data"})
    apps.run("v1", "echo monday >/data/log; sync")
    volume = apps.volume_of("data")["metadata"]["name"]
    apps.delete("pod", "v1")
    apps.delete("pvc", "data")
    apps.delete("pv", volume)

    wait_until(lambda: uid(apps, volume), "every disk is shown again", within=SOON)
    apps.apply(claim("data", volume=volume))
    apps.start("v2", {"/data": "data"})

    assert apps.run("v2", "cat /data/log") == "monday\n"


def test_a_volume_that_vanishes_under_a_running_pod(driver: Driver, node: Node, apps: Apps) -> None:
    apps.apply(claim("data"))
    apps.start("v1", {"/data": "data"})
    volume = apps.volume_of("data")["metadata"]["name"]
    before = uid(apps, volume)
    apps.kubectl("delete", "pv", volume, "--wait=false")
    unprotected = '{"metadata":{"finalizers":null}}'
    apps.kubectl("patch", "pv", volume, "--type=merge", "-p", unprotected)
    apps.run("v1", "echo monday >/data/log; sync")

    wait_until(lambda: uid(apps, volume) not in {"", before}, "it comes back", within=SOON)
    apps.wait("pvc/data", "jsonpath={.status.phase}=Bound", SOON)
    apps.run("v1", "echo tuesday >>/data/log; sync")
    assert driver.holder(volume) == f"{apps.namespace}/v1"

    apps.delete("pod", "v1")
    wait_released(driver, volume)
    assert node.try_to_run(f"grep {volume} /proc/mounts").status != 0
    apps.start("v2", {"/data": "data"})
    assert apps.run("v2", "cat /data/log") == "monday\ntuesday\n"


def test_pods_of_a_node_share_a_disk_that_is_not_exclusive(driver: Driver, apps: Apps) -> None:
    apps.apply(claim("data", mode=SHARED))
    apps.apply(*(pod(name, {"/data": "data"}) for name in ("web", "worker")))
    for name in ("web", "worker"):
        apps.ready(name)
    apps.run("web", "echo monday >/data/log; sync")
    volume = apps.volume_of("data")["metadata"]["name"]

    assert apps.run("worker", "cat /data/log") == "monday\n"
    assert driver.holder(volume) == "node/node-1"

    apps.delete("pod", "web")
    assert apps.run("worker", "echo tuesday >>/data/log; cat /data/log") == "monday\ntuesday\n"
    assert (driver.holder(volume), driver.state(volume)) == ("node/node-1", "bound")

    apps.delete("pod", "worker")
    wait_released(driver, volume)


def test_a_stateful_set_finds_its_disks_again(driver: Driver, apps: Apps) -> None:
    apps.apply(stateful_set("db", replicas=2))
    for name in ("db-0", "db-1"):
        apps.wait(f"pod/{name}", "create", SOON)
        apps.ready(name)
        apps.run(name, f"echo {name} >/data/log; sync")
    volumes = {
        name: apps.volume_of(f"data-{name}")["metadata"]["name"] for name in ("db-0", "db-1")
    }
    assert [driver.holder(volume) for volume in volumes.values()] == [
        f"{apps.namespace}/db-0",
        f"{apps.namespace}/db-1",
    ]

    apps.kubectl("scale", "statefulset/db", "--replicas=0")
    for name, volume in volumes.items():
        apps.wait(f"pod/{name}", "delete", SOON)
        wait_released(driver, volume)
    apps.kubectl("scale", "statefulset/db", "--replicas=2")
    for name in ("db-0", "db-1"):
        apps.wait(f"pod/{name}", "create", SOON)
        apps.ready(name)

        assert apps.run(name, "cat /data/log") == f"{name}\n"
        assert driver.holder(volumes[name]) == f"{apps.namespace}/{name}"


def stateful_set(name: str, *, replicas: int) -> Manifest:
    """A StatefulSet whose pods have each a disk at /data."""
    labels = {"app": name}
    spec = pod_spec({"/data": "data"})
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec | {"volumes": []}},
            "volumeClaimTemplates": [claim("data")],
        },
    }


@pytest.fixture
def deleting_class(kubernetes: Cluster, namespace: str) -> Iterator[str]:
    """A StorageClass whose disks go with their claims."""
    kubernetes.apply(
        f"""
        apiVersion: storage.k8s.io/v1
        kind: StorageClass
        metadata: {{name: {namespace}}}
        provisioner: disk.csi.miren.dev
        reclaimPolicy: Delete
        volumeBindingMode: WaitForFirstConsumer
        """
    )
    yield namespace
    kubernetes.kubectl("delete", "storageclass", namespace)


def test_a_generic_ephemeral_volume_lives_as_long_as_its_pod(
    driver: Driver, node: Node, apps: Apps, deleting_class: str
) -> None:
    template = {"spec": claim("", storage_class=deleting_class)["spec"]}
    scratch = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}
    containers = pod_spec({"/scratch": "scratch"})["containers"]
    apps.apply(pod("job", {}, containers=containers, volumes=[scratch]))
    apps.ready("job")
    apps.run("job", "echo hello >/scratch/log; sync")
    volume = apps.volume_of("job-scratch")["metadata"]["name"]
    assert driver.holder(volume) == f"{apps.namespace}/job"
    assert volume in node.volumes()

    apps.delete("pod", "job")

    apps.wait(f"pv/{volume}", "delete", SOON)
    assert volume not in node.volumes()
    assert volume not in driver.kubectl("get", "lease", "-o", "name")


@pytest.mark.pools("lvm")
def test_the_scheduler_knows_the_room_in_the_pool(
    driver: Driver,  # noqa: ARG001 - installed
    kubernetes: Cluster,
    apps: Apps,
) -> None:
    apps.apply(claim("huge", size="1Pi"), pod("db", {"/data": "huge"}))
    wait_until(
        lambda: any("did not have enough free storage" in message for message in apps.events("db")),
        "the scheduler says why",
        within=SOON,
    )

    assert apps.get("pod", "db")["status"]["phase"] == "Pending"
    assert apps.get("pvc", "huge")["status"]["phase"] == "Pending"
    assert not any("provisioning volume" in message for message in apps.events("huge"))
    found = kubernetes.get("csistoragecapacity", namespace=NAMESPACE)["items"]
    (room,) = (one for one in found if one["storageClassName"] == "miren-disk")
    assert room["nodeTopology"]["matchLabels"] == {"topology.disk.csi.miren.dev/node": "node-1"}
    assert GIB < parse_quantity(room["capacity"]) < OVERCOMMIT * POOL
