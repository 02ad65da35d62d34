"""`kubectl miren disk` as an operator uses it, beside apps that use the disks."""

import json
import re
import uuid

import pytest

from tests.cluster.apps import Apps, claim, pod
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.kubectl import KubectlError
from tests.cluster.marks import GROWS
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until


class Operator:
    """Somebody with an admin's kubeconfig."""

    def __init__(self, kubernetes: Cluster) -> None:
        self._kubernetes = kubernetes

    def does(self, *words: str) -> str:
        """kubectl miren disk, which has to work; returns what it prints."""
        status, output, errors = self._run(*words)
        assert (status, errors) == (0, ""), f"{words}: {errors}"
        return output

    def fails(self, *words: str, status: int = 1) -> str:
        """kubectl miren disk, which has to fail; returns what it says."""
        ended, output, errors = self._run(*words)
        assert (ended, output) == (status, ""), f"{words}: {output}{errors}"
        assert "Traceback" not in errors
        return errors

    def volumes(self) -> set[str]:
        """The names of all PersistentVolumes."""
        return {one["metadata"]["name"] for one in self._kubernetes.get("pv")["items"]}

    def pool(self, *words: str) -> str:
        """kubectl miren pool."""
        status, output, errors = self._run(*words, command="pool")
        assert (status, errors) == (0, "")
        return output

    def _run(self, *words: str, command: str = "disk") -> tuple[int, str, str]:
        done = self._kubernetes.miren(command, *words, within=200)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def operator(kubernetes: Cluster, driver: Driver) -> Operator:  # noqa: ARG001
    return Operator(kubernetes)


@pytest.fixture
def name() -> str:
    """A disk's name that no other test uses."""
    return f"shop-{uuid.uuid4().hex[:6]}x"


@pytest.fixture
def disk(operator: Operator, apps: Apps, name: str) -> str:
    """A disk that was just made, in a pod of its name."""
    made = operator.does("create", name, "--size", "64Mi", "--created-by", "ops")
    assert made == f'disk "{name}" (64 MiB, ext4, on node-1; PersistentVolume {name}) created\n'
    assert name in operator.volumes()
    apps.apply(claim(name, volume=name), pod(name, {"/data": name}))
    apps.ready(name, within=90)
    return name


def test_a_disk_in_use_is_shown_and_left_alone(
    operator: Operator, apps: Apps, driver: Driver, node: Node, disk: str
) -> None:
    apps.run(disk, "head -c 8000000 /dev/urandom >/data/log; sync")
    operator.does("snapshot", "create", disk, f"{disk}-first")
    pod = f"{apps.namespace}/{disk}"

    def row() -> list[str]:
        rows = operator.does("list").splitlines()
        (found,) = (line for line in rows if line.startswith(f"{disk} "))
        return re.split(r" {2,}", found)

    wait_until(lambda: row()[2] != "-", "the node tells how full the disk is", within=30)
    assert row()[1:8] == ["64Mi", row()[2], "ext4", "attached", pod, pod, "node-1"]
    facts = json.loads(operator.does("status", disk, "-o", "json"))
    assert 8_000_000 < facts["usedBytes"] < 64 << 20
    assert (facts["state"], facts["createdBy"], facts["problems"]) == ("attached", "ops", [])
    assert facts["lease"]["holder"] == pod
    assert [one["name"] for one in facts["snapshots"]] == [f"{disk}-first"]
    mount = {"disk": disk, "node": "node-1", "pod": pod, "container": "main", "path": "/data"}
    assert facts["mounts"] == [{**mount, "readOnly": False, "claim": disk, "subPath": None}]
    place = facts["place"].rpartition("/")[2]
    assert place in {line.split()[0] for line in node.volumes().splitlines()}
    assert 0 < facts["poolShare"] < 1
    assert facts["filesystemBytes"] - facts["filesystemFreeBytes"] > 8_000_000
    options = [one["options"].split(",") for one in facts["nodeMounts"]]
    assert len(options) == 2, "where it is staged, and in the pod"
    assert all({"rw", "relatime"} <= {*one} for one in options)
    about = {one["about"] for one in facts["events"]}
    assert f"pod {pod}" in about
    told = operator.does("status", "-i", disk)
    for words in (
        "state        attached",
        "condition    healthy",
        f"kept in      {facts['place']}",
        f"holder       {pod} on node-1",
        f"{disk}-first",
    ):
        assert words in told
    assert pod in operator.does("mounts", disk)
    assert operator.does("mounts", disk, "-o", "name") == f"{pod}\n"

    assert "exists already" in operator.fails("create", "-n", disk)
    taken = operator.fails("delete", disk, "--yes")
    assert f"claimed by {pod}" in taken
    assert f"kubectl delete pvc -n {apps.namespace} {disk}" in taken
    assert f"held by pod {pod}, which exists" in operator.fails("lease", "release", disk)
    assert "held by" in operator.fails("lease-delete", "-i", disk, "--force")
    assert driver.holder(disk) == pod


@GROWS
def test_a_disk_in_use_grows_at_once_and_is_deleted_when_it_is_free(
    operator: Operator, apps: Apps, driver: Driver, disk: str
) -> None:
    room = "df -Pk /data | tail -1 | awk '{print $2}'"
    before = int(apps.run(disk, room))
    assert operator.does("resize", disk, "256Mi") == f'disk "{disk}" has 256 MiB\n'
    assert int(apps.run(disk, room)) > 3 * before
    wait_until(lambda: "256 MiB" in operator.does("status", disk), "it is shown so", within=20)
    assert "never shrinks" in operator.fails("resize", disk, "64Mi", status=2)

    apps.delete("pod", disk)
    apps.delete("pvc", disk)
    wait_until(lambda: driver.state(disk) == "released", "the lease is released", within=60)
    assert operator.does("lease", "release", disk) == f'disk "{disk}" is not held by anybody\n'
    # As it is when no controller was there to see the pod go.
    gone = '{"spec": {"holderIdentity": "nowhere/gone"}}'
    driver.kubectl("patch", "lease", disk, "--type=merge", "-p", gone)
    assert "held by nowhere/gone" in operator.fails("delete", disk, "--yes")
    assert "--force" in operator.fails("lease", "delete", disk)
    assert "nowhere/gone had it" in operator.does("lease-release", "-i", disk)
    assert driver.holder(disk) == ""

    assert "--yes" in operator.fails("delete", disk, status=2)
    assert operator.does("delete", "-i", disk, "--yes") == f'disk "{disk}" deleted\n'
    assert disk not in operator.volumes()
    assert "does not exist" in operator.fails("delete", disk, "--yes")
    with pytest.raises(KubectlError, match="NotFound"):
        driver.lease(disk)


@GROWS
def test_a_claim_of_an_ordinary_manifest_grows_by_its_claim(operator: Operator, apps: Apps) -> None:
    apps.apply(claim("notes"), pod("notes", {"/data": "notes"}))
    apps.ready("notes")
    disk = apps.volume_of("notes")["spec"]["csi"]["volumeHandle"]

    said = operator.does("resize", disk, "128Mi")

    assert said.startswith(f'disk "{disk}" has 128 MiB')
    assert apps.get("pvc", "notes")["spec"]["resources"]["requests"]["storage"] == str(128 << 20)


def test_copies_have_what_the_disk_had(operator: Operator, apps: Apps, disk: str) -> None:
    first, clone, old = f"{disk}-first", f"{disk}-clone", f"{disk}-old"
    apps.run(disk, "echo monday >/data/log; sync")

    assert f'of disk "{disk}" cut at ' in operator.does("snapshot", "create", disk, first)
    assert "exists already" in operator.fails("snapshot", "create", disk, first)
    apps.run(disk, "echo tuesday >>/data/log; sync")
    assert f'a copy of disk "{disk}"' in operator.does("clone", disk, clone)
    assert "created from snapshot" in operator.does("snapshot", "restore", first, "--as", old)
    assert "exists already" in operator.fails("snapshot", "restore", first, "--as", disk)

    listed = operator.does("snapshot", "list", disk).splitlines()
    assert listed[0].split() == ["NAME", "DISK", "SIZE", "AGE"]
    assert listed[1].split()[:3] == [first, disk, "64Mi"]
    assert operator.does("snapshot", "list", disk, "-o", "name") == f"{first}\n"
    assert operator.does("snapshot", "delete", first, "--yes").endswith("deleted\n")
    assert operator.does("snapshot", "list", disk) == "no snapshots\n"
    copies = {"/clone": clone, "/old": old}
    apps.apply(*(claim(name, volume=name) for name in copies.values()), pod("reader", copies))
    apps.ready("reader", within=90)
    assert apps.run("reader", "cat /clone/log") == "monday\ntuesday\n"
    assert apps.run("reader", "cat /old/log") == "monday\n"


def test_what_an_operator_sees_of_the_pool(operator: Operator) -> None:
    (pool,) = json.loads(operator.pool("-o", "json"))

    assert (pool["node"], pool["status"]) == ("node-1", "ok")
    assert 0 < pool["usedBytes"] < pool["sizeBytes"]
    assert operator.pool().splitlines()[1].startswith("node-1 ")
    # Its node plugin has not run for long.
    assert pool["forecast"] == "not known yet"
    assert operator.pool("--check", "-o", "name") == "node-1\n"
