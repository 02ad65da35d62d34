"""What only Lease objects have to answer for: other writers, and an API server that is away."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from controller.lease import Claim, Lease
from controller.leases import Leases
from controller.nodes import Nodes
from csi.errors import InvalidRequest, LeaseHeld, Unavailable
from csi.opening import open_record
from tests.cluster.api_server import ApiServer, Cluster
from tests.contract.leases import FULL, put

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough


def test_a_lease_can_be_read_by_people_and_by_kubectl(cluster: Cluster) -> None:
    put(cluster.store(), replace(FULL, disk="pgdata", waiting=()))
    put(cluster.store(), Lease("My_Disk", transitions=1))

    held, free = cluster.get("pgdata"), cluster.get("my-disk-f090aeef")
    assert held["spec"] == {
        "holderIdentity": "default/db-0",
        "acquireTime": "2026-01-02T12:00:00.123456Z",
        "renewTime": "2026-01-02T12:00:00.123457Z",
        "leaseTransitions": 7,
    }
    assert held["metadata"]["labels"]["disk.miren.dev/state"] == "bound"
    assert held["metadata"]["annotations"]["disk.miren.dev/node"] == "coordinator"
    assert free["spec"] == {"leaseTransitions": 1}
    assert free["metadata"]["labels"]["disk.miren.dev/state"] == "released"
    assert free["metadata"]["annotations"]["disk.miren.dev/disk"] == "My_Disk"


def test_what_others_wrote_into_a_lease_object_stays(cluster: Cluster) -> None:
    put(cluster.store(), Lease("pgdata"))
    cluster.patch("pgdata", {"metadata": {"labels": {"team": "shop"}}})

    put(cluster.store(), replace(FULL, disk="pgdata"))

    assert cluster.get("pgdata")["metadata"]["labels"]["team"] == "shop"
    assert cluster.store().read("pgdata") == replace(FULL, disk="pgdata")


def test_lease_objects_of_others_are_neither_listed_nor_changed(cluster: Cluster) -> None:
    cluster.create("leader", {"holderIdentity": "somebody"})

    assert cluster.store().list() == []
    with pytest.raises(Unavailable, match=r'the Lease \S+/leader is not one of disk "leader"'):
        put(cluster.store(), Lease("leader"))
    assert cluster.get("leader")["spec"] == {"holderIdentity": "somebody"}


def test_a_damaged_lease_object_is_named_and_left_alone(cluster: Cluster) -> None:
    put(cluster.store(), FULL)
    put(cluster.store(), Lease("pgdata"))
    cluster.patch("pgdata", {"metadata": {"annotations": {"disk.miren.dev/waiting": "7"}}})

    with pytest.raises(Unavailable, match=r'Lease \S+/pgdata is not one of disk "pgdata", or is'):
        cluster.store().read("pgdata")
    assert cluster.store().read(FULL.disk) == FULL
    assert cluster.store().list() == [FULL]


def test_without_the_api_server_a_lease_is_neither_read_nor_lost(
    cluster: Cluster, api_server: ApiServer
) -> None:
    store = cluster.store()
    put(store, FULL)
    api_server.kill()
    try:
        for attempt in (store.list, lambda: store.read(FULL.disk), lambda: put(store, FULL)):
            with pytest.raises(Unavailable, match=r"the Kubernetes API server https://\S+ cannot"):
                attempt()
    finally:
        api_server.start()
    assert store.list() == [FULL]


def test_who_may_not_use_leases_is_told(
    cluster: Cluster, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig("nobody")))

    with pytest.raises(Unavailable, match=r"refuses GET \S+: .* cannot get resource"):
        cluster.store().read("pgdata")


def test_of_racing_controllers_exactly_one_wins_each_disk(cluster: Cluster) -> None:
    names = [f"default/db-{number}" for number in range(6)]
    together = threading.Barrier(len(names))

    def race(name: str) -> list[str]:
        leases = Leases(cluster.store())
        won = []
        together.wait()
        for number in range(8):
            with contextlib.suppress(LeaseHeld):
                won.append(leases.acquire(Claim(f"disk-{number}", name, "coordinator")).disk)
        return won

    with ThreadPoolExecutor(len(names)) as threads:
        won = dict(zip(names, threads.map(race, names), strict=True))

    holders = {disk: name for name, disks in won.items() for disk in disks}
    assert sum(map(len, won.values())) == len(holders) == 8
    for lease in cluster.store().list():
        assert lease.holder == holders[lease.disk]
        assert {one.holder for one in lease.waiting} == set(names) - {lease.holder}


def test_no_way_to_the_api_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))

    with pytest.raises(InvalidRequest, match=r"no way to the Kubernetes API: .*KUBECONFIG"):
        open_record("kubernetes", Nodes(dict, str))
