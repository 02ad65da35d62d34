"""New versions of the driver, and more than one controller, under an app that runs."""

import functools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import controller_calls, images
from tests.cluster.apps import Apps, claim, pod
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.controller_calls import Call
from tests.cluster.driver import MANIFESTS, NAMESPACE, Driver
from tests.cluster.kills import kill_all
from tests.cluster.mount_table import mounts_of
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until
from tests.cluster.writer import HONEST, Writer, a_writer

CONTROLLER = "deployment/miren-csi-controller"
NODE = "daemonset/miren-csi-node"

LEADERS = {
    "disk-csi-miren-dev-controller": "the driver",
    "disk-csi-miren-dev": "the provisioner",
    "external-attacher-leader-disk-csi-miren-dev": "the attacher",
    "external-resizer-disk-csi-miren-dev": "the resizer",
    "external-snapshotter-leader-disk-csi-miren-dev": "the snapshotter",
}
"""Lease objects by which controllers elect a leader."""

ROUNDS = 10


@pytest.fixture(scope="module")
def writer(kubernetes: Cluster, node: Node, driver: Driver) -> Iterator[Writer]:  # noqa: ARG001
    """An app that runs and writes, all the time and the same one for all tests here."""
    with a_writer(kubernetes, node) as writer:
        yield writer


@pytest.fixture
def undisturbed(node: Node, writer: Writer) -> Iterator[Writer]:
    """Whatever the test does, the app goes on: the same process on the same mounts."""
    mounts = mounts_of(node, writer.volume)
    container = writer.container
    since = writer.synced()[-1]
    yield writer
    writer.goes_on()
    assert len(mounts) == 2
    assert mounts_of(node, writer.volume) == mounts
    assert writer.container == container
    assert writer.container[1] == 0
    assert writer.synced()[-1].run == since.run
    assert writer.silence(since) < HONEST
    assert writer.lost() == []


def test_a_restart_of_the_driver_leaves_mounts_alone(
    driver: Driver,
    undisturbed: Writer,  # noqa: ARG001 - asserts
) -> None:
    before = driver.pod("controller"), driver.pod("node")
    driver.kubectl("rollout", "restart", CONTROLLER, NODE)
    driver.ready()

    after = driver.pod("controller"), driver.pod("node")
    assert not set(before) & set(after)


def test_an_upgrade_and_the_way_back_leave_mounts_alone(
    kubernetes: Cluster, node: Node, driver: Driver, undisturbed: Writer, tmp_path: Path
) -> None:
    name, _, _ = images.DRIVER.rpartition(":")
    for one in kubernetes.nodes:
        one.run(f"ctr --namespace k8s.io images tag --force {images.DRIVER} {name}:next")
    kubernetes.apply(_upgrade(tmp_path, kubernetes.pool, name))
    driver.ready()
    try:
        for component in ("controller", "node"):
            assert _image_of(kubernetes, driver.pod(component)) == f"{name}:next"
        # A pod that the old version mounted and the new one unmounts, and another.
        _another_pod_comes_and_goes(driver, undisturbed)
    finally:
        driver.install(node)
    assert _image_of(kubernetes, driver.pod("node")) == images.DRIVER


def _upgrade(folder: Path, pool: Pool, image: str) -> Path:
    """The operator's kustomization with a new tag, and with a setting that was not there."""
    up = "/".join(".." for _ in folder.resolve().parts[1:])
    upgrade = {
        "resources": [f"{up}{MANIFESTS}/overlays/{pool}"],
        "components": [f"{up}{MANIFESTS}/components/snapshots"],
        "images": [{"name": image, "newTag": "next"}],
        "configMapGenerator": [
            {
                "name": "miren-csi",
                "namespace": NAMESPACE,
                "behavior": "merge",
                "literals": ["MIREN_CSI_LOG_LEVEL=debug"],
            }
        ],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(upgrade))
    return folder


def _image_of(kubernetes: Cluster, pod: str) -> str:
    containers = kubernetes.get("pod", pod, namespace=NAMESPACE)["spec"]["containers"]
    return next(str(one["image"]) for one in containers if one["name"] == "driver")


def _another_pod_comes_and_goes(driver: Driver, writer: Writer) -> None:
    apps = writer.apps
    name = f"more-{uuid.uuid4().hex[:8]}"
    apps.apply(claim(name))
    apps.start(name, {"/data": name})
    apps.run(name, "echo hello >/data/log; sync")
    volume = apps.volume_of(name)["metadata"]["name"]
    apps.delete("pod", name)
    released = "the lease is released"
    wait_until(lambda: driver.state(volume) == "released", released, within=60)


def test_pods_of_the_old_version_are_unmounted_by_the_new_one(
    node: Node, driver: Driver, writer: Writer
) -> None:
    writer.stop()
    wait_until(lambda: not mounts_of(node, writer.volume), "it is unmounted", within=60)
    released = "the lease is released"
    wait_until(lambda: driver.state(writer.volume) == "released", released, within=60)

    writer.start()
    assert writer.lost() == []


@pytest.fixture(scope="module")
def two_controllers(kubernetes: Cluster, driver: Driver) -> Iterator[None]:
    """The Deployment is scaled to two replicas."""
    driver.kubectl("scale", CONTROLLER, "--replicas=2")
    driver.ready()
    yield
    driver.kubectl("scale", CONTROLLER, "--replicas=1")
    driver.ready()
    wait_until(lambda: len(_controllers(kubernetes)) == 1, "one controller is left", within=60)


def test_when_the_leading_controller_dies_another_one_leads(
    kubernetes: Cluster,
    node: Node,
    driver: Driver,
    two_controllers: None,  # noqa: ARG001
    undisturbed: Writer,
) -> None:
    (leader,) = {_leader(kubernetes, lease) for lease in LEADERS}
    _kill_pod(kubernetes, node, driver, leader)

    def another_leads(lease: str) -> bool:
        # Whoever replaces the dead one may be faster than the one that was there.
        return _leader(kubernetes, lease) in _controllers(kubernetes) - {leader}

    for lease, who in LEADERS.items():
        leads = functools.partial(another_leads, lease)
        wait_until(leads, f"{who} of another controller leads", within=90)
        assert driver.holder(undisturbed.volume) == undisturbed.owner
    _another_pod_comes_and_goes(driver, undisturbed)


def _controllers(kubernetes: Cluster) -> set[str]:
    """The names of the controllers' pods."""
    select = "--selector=app.kubernetes.io/component=controller"
    pods = kubernetes.get("pods", select, namespace=NAMESPACE)["items"]
    return {str(pod["metadata"]["name"]) for pod in pods}


def _leader(kubernetes: Cluster, lease: str) -> str:
    """The pod that leads, by a lease."""
    spec = kubernetes.get("lease", lease, namespace=NAMESPACE)["spec"]
    holder = str(spec.get("holderIdentity") or "")
    pods = _controllers(kubernetes)
    return next((pod for pod in pods if holder.startswith(pod)), holder)


def _kill_pod(kubernetes: Cluster, node: Node, driver: Driver, name: str) -> None:
    """Kill all containers of a pod, and have it replaced rather than started again."""
    found = kubernetes.get("pod", name, namespace=NAMESPACE)["status"]["containerStatuses"]
    kill_all(node, [status["containerID"] for status in found])
    driver.kubectl("delete", "pod", name, "--force", "--grace-period=0")


def test_two_controllers_never_give_a_disk_to_two(
    kubernetes: Cluster,
    node: Node,
    driver: Driver,
    two_controllers: None,  # noqa: ARG001
    writer: Writer,
) -> None:
    driver.ready()
    sockets = [controller_calls.socket_of(kubernetes, one) for one in _controllers(kubernetes)]
    apps = writer.apps
    rivals = ["left", "right"]
    # They are there, so that neither's lease is taken as that of a pod that is gone.
    apps.apply(*(pod(rival, {}, nodeSelector={"nowhere": "true"}) for rival in rivals))
    disk = _free_disk(driver, apps)
    race = [
        Call(socket, disk, node.name, f"{apps.namespace}/{rival}")
        for socket, rival in zip(sockets, rivals, strict=True)
    ]
    free = Call(sockets[0], disk, node.name)

    answers = controller_calls.call(node, *[race, [free]] * ROUNDS)

    for (left, right), (freed,) in zip(answers[::2], answers[1::2], strict=True):
        assert sorted([left.code, right.code]) == ["ABORTED", "OK"]
        loser = left if left.code == "ABORTED" else right
        assert "held by" in loser.sentence
        assert freed.code == "OK"
    assert driver.holder(disk) == ""


def _free_disk(driver: Driver, apps: Apps) -> str:
    """A disk that nobody holds."""
    apps.apply(claim("prize"))
    apps.start("first", {"/data": "prize"})
    disk = str(apps.volume_of("prize")["metadata"]["name"])
    apps.delete("pod", "first")
    wait_until(lambda: driver.state(disk) == "released", "the lease is released", within=60)
    return disk
