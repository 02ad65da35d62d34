"""Disks from ordinary manifests: what any user's claims and pods get."""

import pytest

from tests.cluster.apps import Apps, claim, pod_spec
from tests.cluster.driver import Driver
from tests.cluster.marks import GROWS
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.pools("lvm", "loop")


def test_a_claim_gets_a_disk_that_outlives_its_pods(driver: Driver, apps: Apps) -> None:
    apps.apply(claim("notes"))
    apps.start("first", {"/notes": "notes"})
    apps.run("first", "echo hello >/notes/log; sync")
    volume = apps.volume_of("notes")
    name = volume["metadata"]["name"]
    assert volume["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert (driver.holder(name), driver.state(name)) == (f"{apps.namespace}/first", "bound")

    apps.delete("pod", "first")
    wait_until(lambda: driver.state(name) == "released", "the lease is released", within=60)
    apps.start("second", {"/notes": "notes"})

    assert apps.run("second", "cat /notes/log") == "hello\n"
    assert driver.holder(name) == f"{apps.namespace}/second"


@GROWS
def test_a_disk_grows_while_it_is_written_to(driver: Driver, apps: Apps) -> None:  # noqa: ARG001
    apps.apply(claim("data", size="64Mi"))
    apps.start("db", {"/data": "data"})
    apps.run("db", "echo before >/data/log")

    more = '{"spec":{"resources":{"requests":{"storage":"200Mi"}}}}'
    apps.kubectl("patch", "pvc", "data", "-p", more)
    apps.wait("pvc/data", "jsonpath={.status.capacity.storage}=200Mi", within=150)

    assert int(apps.run("db", "df -Pm /data | awk 'END {print $2}'")) > 150
    assert apps.run("db", "cat /data/log") == "before\n"
    assert apps.volume_of("data")["spec"]["capacity"]["storage"] == "200Mi"


def test_a_raw_block_device(driver: Driver, apps: Apps) -> None:  # noqa: ARG001
    apps.apply(claim("raw", block=True))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db"}}
    apps.apply({**pod, "spec": pod_spec({}, blocks={"/dev/raw": "raw"})})
    apps.ready("db")

    apps.run("db", "echo raw bytes | dd of=/dev/raw conv=fsync 2>/dev/null")
    apps.delete("pod", "db")
    apps.apply({**pod, "spec": pod_spec({}, blocks={"/dev/raw": "raw"})})
    apps.ready("db")

    assert apps.run("db", "head -c 9 /dev/raw") == "raw bytes"


def test_a_snapshot_is_restored_beside_its_origin(driver: Driver, apps: Apps) -> None:  # noqa: ARG001
    apps.apply(claim("data"))
    apps.start("db", {"/data": "data"})
    apps.run("db", "echo monday >/data/log")
    snapshot = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": "monday"},
        "spec": {
            "volumeSnapshotClassName": "miren-disk",
            "source": {"persistentVolumeClaimName": "data"},
        },
    }
    apps.apply(snapshot)
    apps.wait("volumesnapshot/monday", "jsonpath={.status.readyToUse}=true")
    apps.run("db", "echo tuesday >/data/log")

    of_snapshot = {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": "monday",
    }
    of_claim = {"kind": "PersistentVolumeClaim", "name": "data"}
    apps.apply(claim("restored", source=of_snapshot), claim("cloned", source=of_claim))
    apps.start("old", {"/restored": "restored", "/cloned": "cloned"})

    assert apps.run("old", "cat /restored/log /cloned/log") == "monday\ntuesday\n"
