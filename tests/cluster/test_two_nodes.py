"""Two nodes that have pools: each disk is in its node's, and the one controller reaches both."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.apps import Apps, claim
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.vm_node import VmNode

pytestmark = pytest.mark.pools("lvm")

LABEL = "disk.miren.dev/pool"
HOST = "kubernetes.io/hostname"


@pytest.fixture
def nodes(
    kubernetes: Cluster, driver: Driver, node: Node, second_node: Node
) -> Iterator[list[Node]]:
    """Both nodes, with the driver on both."""
    kubernetes.kubectl("label", "node", second_node.name, f"{LABEL}=true")
    driver.ready()
    yield [node, second_node]
    kubernetes.kubectl("label", "node", second_node.name, f"{LABEL}-")


def test_each_disk_is_in_the_pool_of_its_node(
    kubernetes: Cluster, nodes: list[Node], apps: Apps
) -> None:
    volumes = []
    for one in nodes:
        apps.apply(claim(one.name))
        apps.start(f"on-{one.name}", {"/data": one.name}, nodeSelector={HOST: one.name})
        apps.run(f"on-{one.name}", f"echo {one.name} >/data/where; sync")
        volumes.append(apps.volume_of(one.name)["metadata"]["name"])

    for here, there, volume in zip(nodes, reversed(nodes), volumes, strict=True):
        assert volume in here.volumes()
        assert volume not in there.volumes()

    # What was made on a node is copied and grown there, wherever the controller runs.
    second = nodes[1].name
    of_claim = {"kind": "PersistentVolumeClaim", "name": second}
    apps.apply(claim("copy", size="128Mi", source=of_claim))
    apps.start("reader", {"/copy": "copy"})
    assert apps.run("reader", "cat /copy/where") == f"{second}\n"
    assert apps.get("pod", "reader")["spec"]["nodeName"] == second
    assert apps.volume_of("copy")["metadata"]["name"] in nodes[1].volumes()

    # A node that is off keeps no disk of the other from work.
    off = nodes[1]
    assert isinstance(off, VmNode)
    off.cut_power()
    try:
        apps.apply(claim("more"))
        apps.start("meanwhile", {"/more": "more"}, nodeSelector={HOST: nodes[0].name})
        apps.run("meanwhile", "echo works >/more/log")
        left = json.loads(kubernetes.kubectl("get", "pv", "--output", "json"))["items"]
        assert set(volumes) <= {volume["metadata"]["name"] for volume in left}
    finally:
        kubernetes.boot(nodes[1])
    apps.ready(f"on-{second}", within=120)
    assert apps.run(f"on-{second}", "cat /data/where") == f"{second}\n"
