"""Inline volumes of pods of the driver's own namespace, as kubelet makes and removes them."""

from collections.abc import Iterator
from typing import Any

import pytest

from csi import DRIVER_NAME
from tests.cluster.apps import Apps, Manifest, claim, pod
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.mount_table import mount_table
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.pools("lvm", "loop")

SOON = 60.0


@pytest.fixture
def movers(kubernetes: Cluster, driver: Driver) -> Iterator[Apps]:  # noqa: ARG001 - installed
    """The driver's namespace; no pod of the test stays in it."""
    yield Apps(kubernetes, NAMESPACE)
    kubernetes.kubectl("delete", "pod", "mover", "--namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture
def disk(driver: Driver, apps: Apps) -> str:  # noqa: ARG001 - installed
    """A disk with a file, of a pod that runs."""
    apps.apply(claim("data"))
    apps.start("db", {"/data": "data"})
    apps.run("db", "echo monday >/data/log; sync")
    return str(apps.volume_of("data")["spec"]["csi"]["volumeHandle"])


def mover(read_only: bool = True, **attributes: str) -> Manifest:
    """A pod that has an inline volume at /disk."""
    csi = {"driver": DRIVER_NAME, "readOnly": read_only, "volumeAttributes": attributes}
    made = pod("mover", {"/disk": "disk"}, volumes=[{"name": "disk", "csi": csi}])
    if attributes.get("mode") == "block":
        made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


def assert_gone(node: Node) -> None:
    """Nothing of a scratch volume is left on the node."""
    wait_until(lambda: not node.scratch_volumes(), "the scratch volume is deleted", within=SOON)
    left: list[Any] = [one for one in mount_table(node) if "csi.scratch" in one.target]
    assert left == []


def test_a_copy_comes_and_goes_with_its_pod(
    node: Node, kubernetes: Cluster, apps: Apps, movers: Apps, disk: str
) -> None:
    movers.apply(mover(copyOf=disk))
    movers.ready("mover", SOON)
    apps.run("db", "echo tuesday >>/data/log; sync")

    assert movers.run("mover", "cat /disk/log") == "monday\n"
    assert "Read-only" in movers.run("mover", "touch /disk/file 2>&1 || true")
    assert node.scratch_volumes()
    assert "csi-" not in kubernetes.kubectl("get", "pv", "--output", "name")

    movers.delete("pod", "mover")
    assert_gone(node)
    assert apps.run("db", "cat /data/log") == "monday\ntuesday\n"


def test_the_device_of_a_copy_is_seen_in_a_container(node: Node, movers: Apps, disk: str) -> None:
    movers.apply(mover(copyOf=disk, mode="block"))
    movers.ready("mover", SOON)

    assert movers.run("mover", "ls /disk") == "device\n"
    # ext4's magic number
    magic = movers.run("mover", "dd if=/disk/device bs=1 skip=1080 count=2 2>/dev/null | od -tx1")
    assert "53 ef" in magic

    movers.delete("pod", "mover")
    assert_gone(node)


def test_a_pod_that_is_killed_leaves_nothing(node: Node, movers: Apps) -> None:
    movers.apply(mover(read_only=False, size=str(1 << 30)))
    movers.ready("mover", SOON)
    movers.run("mover", "echo restored >/disk/log")

    movers.kubectl("delete", "pod", "mover", "--force", "--grace-period=0")

    assert_gone(node)


def test_the_driver_starts_anew_under_a_copy(
    node: Node, driver: Driver, movers: Apps, disk: str
) -> None:
    movers.apply(mover(copyOf=disk))
    movers.ready("mover", SOON)

    driver.kubectl("rollout", "restart", "daemonset/miren-csi-node")
    driver.ready()

    assert movers.run("mover", "cat /disk/log") == "monday\n"
    movers.delete("pod", "mover")
    assert_gone(node)
