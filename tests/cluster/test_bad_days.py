"""Whatever is killed, an app has its disk with all that it had synced, and nothing is left over."""

import functools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.cluster import controller_calls
from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster
from tests.cluster.controller_calls import Call
from tests.cluster.driver import Driver
from tests.cluster.kills import Victim, kill_service
from tests.cluster.kubectl import KubectlError
from tests.cluster.mount_table import (
    check_filesystem,
    mounts_of,
    mounts_of_gone_pods,
    times_open,
)
from tests.cluster.node import Node
from tests.cluster.vm_node import VmNode
from tests.cluster.waiting import wait_until
from tests.cluster.writer import HONEST, Writer, a_writer

pytestmark = pytest.mark.pools("lvm")

SIDECARS = ("csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter")

Find = Callable[[str, str], Victim]
"""By the pod's component and the container."""


@pytest.fixture(scope="module")
def an_app(kubernetes: Cluster, node: Node, driver: Driver) -> Iterator[Writer]:  # noqa: ARG001
    with a_writer(kubernetes, node) as writer:
        yield writer


@pytest.fixture
def writer(an_app: Writer, driver: Driver) -> Writer:
    """An app that runs and writes; one for all tests here, each leaves it so."""
    driver.ready()
    if not an_app.is_running():
        an_app.start(f"writer-{uuid.uuid4().hex[:8]}")
    return an_app


class Aftermath:
    """What must be true after a bad day."""

    def __init__(self, kubernetes: Cluster, node: Node, driver: Driver) -> None:
        self._kubernetes = kubernetes
        self._node = node
        self._driver = driver

    def leaves_alone(self, writer: Writer, happens: Callable[[], None]) -> None:
        """Whatever happens, the app goes on: the same process on the same mounts."""
        mounts = mounts_of(self._node, writer.volume)
        container = writer.container
        since = writer.synced()[-1]

        happens()

        writer.goes_on()
        assert len(mounts) == 2
        assert mounts_of(self._node, writer.volume) == mounts
        assert writer.container == container
        assert writer.synced()[-1].run == since.run
        assert writer.silence(since) < HONEST

    def nothing_is_left_of(self, writer: Writer) -> None:
        """The app's pod was deleted: its disk is free, closed, clean and listed."""
        volume = writer.volume
        node = self._node
        # kubelet may have to try again, after up to two minutes.
        wait_until(lambda: not mounts_of(node, volume), "the disk is unmounted", within=150)
        released = "the lease is released"
        wait_until(lambda: self._driver.state(volume) == "released", released, within=90)
        assert self._driver.holder(volume) == ""
        assert times_open(node, volume) == 0
        assert check_filesystem(node, volume) == ""
        self.no_mount_is_leaked()
        self._disk_is_listed(writer)

    def no_mount_is_leaked(self) -> None:
        leaked = "nothing is mounted for pods that are gone"
        wait_until(lambda: not mounts_of_gone_pods(self._kubernetes, self._node), leaked, within=60)

    def _disk_is_listed(self, writer: Writer) -> None:
        volume = self._kubernetes.get("pv", writer.volume)
        claim = volume["spec"]["claimRef"]
        assert volume["status"]["phase"] == "Bound"
        assert (claim["namespace"], claim["name"]) == (writer.apps.namespace, "data")
        assert volume["spec"]["capacity"]["storage"] == "64Mi"

    def app_comes_back(self, writer: Writer) -> None:
        """Deleted and started again, the app finds its records; meanwhile nothing is left."""
        writer.stop()
        self.nothing_is_left_of(writer)
        writer.start()
        self.app_is_well(writer)

    def app_is_well(self, writer: Writer) -> None:
        """It has all its records, and the lease; nobody else wrote meanwhile."""
        assert writer.lost() == []
        assert writer.wrote_at_once() == []
        holds = "the app holds its disk"
        wait_until(lambda: self._driver.holder(writer.volume) == writer.owner, holds, within=30)
        assert self._driver.state(writer.volume) == "bound"


@pytest.fixture
def find(driver: Driver, node: Node) -> Find:
    """Finds a container of the driver, to be killed."""
    return functools.partial(Victim, driver, node)


@pytest.fixture
def new_app(apps: Apps, node: Node, driver: Driver) -> Writer:  # noqa: ARG001
    """An app that was not started yet."""
    return Writer(apps, node)


@pytest.fixture
def aftermath(kubernetes: Cluster, node: Node, driver: Driver) -> Aftermath:
    return Aftermath(kubernetes, node, driver)


@pytest.mark.parametrize(
    ("component", "containers"),
    [("controller", ["driver"]), ("node", ["driver"]), ("controller", SIDECARS)],
    ids=["controller", "node", "sidecars"],
)
def test_a_killed_plugin_leaves_a_running_app_alone(
    find: Find, writer: Writer, aftermath: Aftermath, component: str, containers: Sequence[str]
) -> None:
    victims = [find(component, container) for container in containers]

    def kill() -> None:
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.comes_back()

    aftermath.leaves_alone(writer, kill)
    aftermath.app_comes_back(writer)


@pytest.mark.parametrize("service", ["kubelet", "containerd"])
def test_a_killed_service_of_the_node_leaves_a_running_app_alone(
    kubernetes: Cluster, node: Node, writer: Writer, aftermath: Aftermath, service: str
) -> None:
    def kill() -> None:
        kill_service(node, service)
        kubernetes.wait_ready(node)

    aftermath.leaves_alone(writer, kill)
    aftermath.app_comes_back(writer)


def test_without_an_api_server_apps_keep_their_disks(
    kubernetes: Cluster, node: Node, driver: Driver, writer: Writer, aftermath: Aftermath
) -> None:
    socket = controller_calls.socket_of(kubernetes, driver.pod("controller"))
    publish = Call(socket, writer.volume, node.name, writer.owner)
    before = driver.lease(writer.volume)["spec"]

    def outage() -> None:
        kubernetes.control_plane.api_server.kill()
        try:
            ((answer,),) = controller_calls.call(node, [publish])
            writer.goes_on()
        finally:
            kubernetes.control_plane.start_api_server()
        assert answer.code == "UNAVAILABLE"
        assert "API server" in answer.sentence

    aftermath.leaves_alone(writer, outage)
    driver.ready()
    ((answer,),) = controller_calls.call(node, [publish])
    assert answer.code == "OK"
    after = driver.lease(writer.volume)["spec"]
    for field in ("holderIdentity", "acquireTime", "leaseTransitions"):
        assert after[field] == before[field]
    aftermath.app_comes_back(writer)


def test_a_pod_deleted_by_force_is_replaced_at_once(writer: Writer, aftermath: Aftermath) -> None:
    old = writer.pod
    writer.apps.kubectl("delete", "pod", old, "--force", "--grace-period=0")
    writer.start("next")

    aftermath.app_is_well(writer)
    aftermath.no_mount_is_leaked()
    writer.stop()
    aftermath.nothing_is_left_of(writer)


# Where the work is when it is killed, as the node sees it.
MOMENTS = {
    "device there": "compgen -G '/dev/mapper/miren-disk--{mapper}*'",
    "mkfs": "{{ grep -qsx mkfs.ext4 /proc/[0-9]*/comm || grep -q {staging} /proc/mounts; }}",
    "unmounted in pod": "! grep -q csi/{volume}/mount /proc/mounts",
    "unstaged": "! grep -q {staging} /proc/mounts",
}


@pytest.mark.parametrize(
    ("component", "moments"),
    [
        ("controller", ("device there", "unstaged")),
        ("node", ("device there", "unmounted in pod")),
        ("node", ("mkfs", "unstaged")),
    ],
    ids=["controller", "node", "node-mkfs"],
)
def test_killed_while_a_pod_starts_and_while_it_ends(
    find: Find,
    new_app: Writer,
    aftermath: Aftermath,
    component: str,
    moments: tuple[str, str],
) -> None:
    starting, ending = (_moment(name, new_app) for name in moments)
    victim = find(component, "driver")
    trap = victim.kill_when(starting)
    new_app.apply()
    trap.snaps()
    assert not new_app.synced()
    new_app.apps.ready(new_app.pod, within=150)
    new_app.goes_on()
    aftermath.app_is_well(new_app)
    victim.comes_back()

    victim = find(component, "driver")
    trap = victim.kill_when(ending)
    assert not trap.has_snapped
    new_app.stop()
    trap.snaps()
    aftermath.nothing_is_left_of(new_app)
    victim.comes_back()
    new_app.start()
    aftermath.app_is_well(new_app)


def _moment(name: str, writer: Writer) -> str:
    mapper = writer.volume.replace("-", "--")
    return MOMENTS[name].format(mapper=mapper, staging=writer.staging, volume=writer.volume)


def test_the_controller_is_killed_while_it_attaches_and_detaches(
    kubernetes: Cluster, find: Find, writer: Writer, aftermath: Aftermath
) -> None:
    def attachment() -> dict[str, Any]:
        found = kubernetes.get("volumeattachments")["items"]
        volume = {"persistentVolumeName": writer.volume}
        return next((one["metadata"] for one in found if one["spec"]["source"] == volume), {})

    victim = find("controller", "driver")
    victim.freeze()
    writer.stop()
    wait_until(lambda: attachment().get("deletionTimestamp"), "it detaches", within=60)
    victim.kill()
    aftermath.nothing_is_left_of(writer)
    victim.comes_back()

    victim = find("controller", "driver")
    victim.freeze()
    writer.apply("attached")
    wait_until(attachment, "it attaches", within=60)
    victim.kill()
    writer.apps.ready("attached", within=150)
    writer.goes_on()
    aftermath.app_is_well(writer)
    victim.comes_back()


def test_after_a_power_cut_apps_find_what_they_had_synced(
    kubernetes: Cluster, vm_node: VmNode, driver: Driver, writer: Writer, aftermath: Aftermath
) -> None:
    before = writer.synced()[-1].run
    vm_node.cut_power()
    kubernetes.boot(vm_node)

    wait_until(lambda: writer.synced()[-1].run != before, "the app is started", within=180)
    writer.goes_on()
    aftermath.app_is_well(writer)
    aftermath.no_mount_is_leaked()
    driver.ready()
    aftermath.app_comes_back(writer)


def test_at_last_nothing_of_the_driver_is_mounted(
    node: Node, writer: Writer, aftermath: Aftermath
) -> None:
    writer.stop()
    aftermath.nothing_is_left_of(writer)
    staged = "nothing is staged"
    wait_until(
        lambda: node.try_to_run("grep disk.csi.miren.dev /proc/mounts").status == 1,
        staged,
        within=90,
    )
    with pytest.raises(KubectlError):
        writer.apps.get("pod", writer.pod)
