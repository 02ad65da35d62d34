"""PersistentVolumes as the controller keeps them, on a real API server with its real PV binder."""

import urllib.error
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from controller.holders import PodHolders
from controller.leader import LeaderElection
from controller.lease import Claim
from controller.lease_objects import LeaseObjects
from controller.leases import Leases
from controller.loop_pool import LoopPool
from controller.nodes import Nodes
from controller.pv_mirror import Mirror
from controller.upkeep import Upkeep
from csi.disk import MIB, Disk
from csi.errors import LeaseHeld
from csi.kubernetes_api import KubernetesApi
from csi.persistent_volume import PersistentVolume
from tests.cluster.api_server import ApiServer, Cluster
from tests.cluster.controller_manager import ControllerManager
from tests.cluster.waiting import wait_until

NODE = "coordinator"
SIZE = 64 * MIB


def eventually(condition: Callable[[], object]) -> None:
    wait_until(condition, "the cluster shows it", within=30)


@pytest.fixture(scope="module")
def binder(
    api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControllerManager]:
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "miren-disk"},
        "provisioner": "disk.csi.miren.dev",
        "volumeBindingMode": "Immediate",
    }
    api_server.request("POST", "/apis/storage.k8s.io/v1/storageclasses", storage_class)
    folder = tmp_path_factory.mktemp("controller-manager")
    with ControllerManager(folder, api_server.kubeconfig()) as manager:
        yield manager


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[LoopPool]:
    with closing(LoopPool(tmp_path, overcommit=100)) as pool:
        yield pool


class Driver:
    """What a controller in the cluster consists of, and what an operator sees."""

    def __init__(self, server: ApiServer, namespace: str, pool: LoopPool) -> None:
        self._server = server
        self.pool = pool
        api = KubernetesApi()
        self.leases = Leases(LeaseObjects(api, namespace))
        holders = PodHolders(api)
        leader = LeaderElection(api, namespace, "leader", "only")
        nodes = Nodes.single(NODE, pool)
        mirror = Mirror(namespace, nodes.coordinator)
        self.upkeep = Upkeep(
            api,
            nodes,
            self.leases,
            holders,
            mirror=mirror,
            leader=leader,
            grace=0.5,
        )

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return self._server.request(method, path, body)

    def volume(self, name: str) -> dict[str, Any]:
        try:
            return self.request("GET", f"/api/v1/persistentvolumes/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {}

    def row(self, name: str) -> tuple[str, str, str]:
        """What `kubectl get pv` shows of a volume: capacity, status, claim."""
        found = self.volume(name)
        if not found:
            return ("", "", "")
        claim = found["spec"]["claimRef"]
        capacity = found["spec"]["capacity"]["storage"]
        return capacity, found["status"]["phase"], f"{claim['namespace']}/{claim['name']}"

    def claim(self, namespace: str, name: str, volume: str = "", size: int = SIZE) -> None:
        self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/persistentvolumeclaims",
            {
                "metadata": {"name": name},
                "spec": {
                    "storageClassName": "miren-disk",
                    "accessModes": ["ReadWriteOncePod"],
                    "resources": {"requests": {"storage": str(size)}},
                    **({"volumeName": volume} if volume else {}),
                },
            },
        )

    def claim_phase(self, namespace: str, name: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        return str(self.request("GET", path)["status"]["phase"])

    def delete_claim(self, namespace: str, name: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        self.request("DELETE", path)

    def events(self, namespace: str, about: str) -> list[str]:
        found = self.request("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
        return [one["message"] for one in found if one["involvedObject"]["name"] == about]


@pytest.fixture
def namespaces(api_server: ApiServer) -> list[str]:
    """Two namespaces of two teams."""
    names = [f"team-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        Cluster(api_server, name)
    return names


@pytest.fixture
def driver(
    api_server: ApiServer,
    binder: ControllerManager,  # noqa: ARG001 - at work
    cluster: Cluster,
    pool: LoopPool,
) -> Iterator[Driver]:
    driver = Driver(api_server, cluster.namespace, pool)
    driver.upkeep.start()
    yield driver
    driver.upkeep.stop()


@pytest.fixture
def disk(driver: Driver) -> str:
    """A disk that nobody asked for yet, under a name that no other test uses."""
    name = f"disk-of-{uuid.uuid4().hex[:12]}"
    driver.pool.create(Disk(name, SIZE))
    return name


@pytest.fixture
def claimed(driver: Driver, disk: str, namespaces: list[str]) -> str:
    """The same, bound to a claim of the first team."""
    driver.claim(namespaces[0], disk, volume=disk)
    eventually(lambda: driver.row(disk)[1] == "Bound")
    return disk


def test_every_disk_has_a_volume_that_nobody_gets_by_chance(
    driver: Driver, cluster: Cluster, disk: str, namespaces: list[str]
) -> None:
    eventually(lambda: driver.row(disk) == (str(SIZE), "Available", f"{cluster.namespace}/{disk}"))
    driver.claim(namespaces[0], "any", size=MIB)
    driver.claim(namespaces[0], disk, volume=disk)
    eventually(lambda: driver.row(disk)[1:] == ("Bound", f"{namespaces[0]}/{disk}"))

    assert driver.claim_phase(namespaces[0], "any") == "Pending"
    spec = driver.volume(disk)["spec"]
    assert spec["accessModes"] == ["ReadWriteOncePod"]
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["csi"]["volumeHandle"] == disk


def test_a_volume_of_a_disk_that_is_gone_goes_too(driver: Driver, disk: str) -> None:
    eventually(lambda: driver.row(disk)[1] == "Available")

    driver.pool.delete(disk)

    eventually(lambda: not driver.volume(disk))


def test_a_deleted_volume_comes_back_to_its_claim(
    driver: Driver, claimed: str, namespaces: list[str]
) -> None:
    path = f"/api/v1/persistentvolumes/{claimed}"
    before = driver.volume(claimed)["metadata"]["uid"]
    driver.request("DELETE", path)
    unprotected = {"metadata": {"finalizers": None}}
    driver._server.request("PATCH", path, unprotected, "application/merge-patch+json")

    eventually(lambda: driver.volume(claimed).get("metadata", {}).get("uid") not in {None, before})
    eventually(lambda: driver.row(claimed)[1:] == ("Bound", f"{namespaces[0]}/{claimed}"))
    eventually(lambda: driver.claim_phase(namespaces[0], claimed) == "Bound")
    assert driver.pool.get(claimed).size == SIZE


def test_a_released_volume_goes_to_the_next_claim_of_its_name(
    driver: Driver, claimed: str, namespaces: list[str]
) -> None:
    first, second = namespaces
    driver.claim(second, claimed, volume=claimed)
    told = f'disk "{claimed}" is claimed by {first}/{claimed}; delete that claim first'
    eventually(lambda: told in driver.events(second, claimed))

    driver.delete_claim(first, claimed)
    eventually(lambda: driver.row(claimed)[1:] == ("Bound", f"{second}/{claimed}"))

    driver.delete_claim(second, claimed)
    eventually(lambda: driver.row(claimed)[1:] == ("Available", f"{second}/{claimed}"))
    driver.claim(second, claimed, volume=claimed)
    eventually(lambda: driver.row(claimed)[1] == "Bound")


def test_a_volume_shows_the_size_that_the_disk_has(driver: Driver, claimed: str) -> None:
    driver.pool.expand(claimed, 2 * SIZE)

    eventually(lambda: driver.row(claimed)[:2] == (str(2 * SIZE), "Bound"))


def test_a_volume_without_a_disk_and_without_a_size_is_told(
    driver: Driver, namespaces: list[str]
) -> None:
    name = f"unknown-{uuid.uuid4().hex[:12]}"
    claim = {"namespace": namespaces[0], "name": name}
    volume = PersistentVolume(name, "1Gi", claim)
    driver.request("POST", "/api/v1/persistentvolumes", volume.manifest())
    driver.claim(namespaces[0], name, volume=name)

    told = f'disk "{name}" does not exist and no size specified for auto-creation'
    eventually(lambda: told in driver.events(namespaces[0], name))


def test_a_lease_follows_the_pods_and_those_who_wait_are_told(
    driver: Driver, api_server: ApiServer, claimed: str, namespaces: list[str]
) -> None:
    team = Cluster(api_server, namespaces[0])
    team.pod("db-0", claimed, NODE)
    holders = PodHolders(KubernetesApi())
    volume = holders.volume(claimed)
    assert volume is not None
    assert holders.holder(volume, NODE) == f"{namespaces[0]}/db-0"
    driver.leases.acquire(Claim(claimed, f"{namespaces[0]}/db-0", NODE))

    team.pod("db-1", claimed)  # the scheduler keeps it waiting
    told = f'disk "{claimed}" is held by {namespaces[0]}/db-0, since '

    def is_told(about: str) -> bool:
        return any(told in message for message in driver.events(namespaces[0], about))

    eventually(lambda: is_told("db-1"))
    eventually(lambda: is_told(claimed))
    assert any("; waiting up to 5m" in message for message in driver.events(namespaces[0], "db-1"))

    team.delete_pod("db-1")
    team.pod("db-2", claimed, NODE)  # on the node, before the volume was detached from it
    with pytest.raises(LeaseHeld):
        driver.leases.acquire(Claim(claimed, f"{namespaces[0]}/db-2", NODE))
    team.delete_pod("db-0")

    def holder() -> tuple[str, int]:
        lease = driver.leases.get(claimed)
        return (lease.holder, lease.transitions) if lease else ("", 0)

    eventually(lambda: holder() == (f"{namespaces[0]}/db-2", 1))
