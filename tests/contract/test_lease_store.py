"""What every store of leases promises, whatever keeps the records."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from controller.lease import Lease
from controller.lease_file import LeaseFile
from controller.leases import LeaseStore
from csi.errors import LeaseHeld
from tests.cluster.api_server import Cluster
from tests.contract.leases import FULL, put
from tests.unit.controller.memory_leases import MemoryLeaseStore

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

Reopen = Callable[[], LeaseStore]


@pytest.fixture(params=["file", "memory", "objects"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Opens the same store again, as a restarted driver does."""
    if request.param == "objects":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.store
    if request.param == "file":
        return lambda: LeaseFile(tmp_path / "leases.json")
    memory = MemoryLeaseStore()
    return lambda: memory


@pytest.fixture
def store(reopened: Reopen) -> LeaseStore:
    return reopened()


def test_a_new_store_knows_no_leases(store: LeaseStore) -> None:
    assert store.list() == []
    assert store.read("pgdata") is None


def test_every_field_survives(store: LeaseStore, reopened: Reopen) -> None:
    put(store, FULL)
    put(store, Lease("bare"))

    for one in (store, reopened()):
        assert one.read(FULL.disk) == FULL
        assert one.read("bare") == Lease("bare")


def test_the_list_is_sorted_by_disk(store: LeaseStore) -> None:
    for disk in ("b", "ä", "a", "B"):
        put(store, Lease(disk))

    assert [lease.disk for lease in store.list()] == ["B", "a", "b", "ä"]


def test_an_update_sees_what_is_there_and_returns_what_it_made(store: LeaseStore) -> None:
    seen: list[Lease | None] = []

    def count(lease: Lease | None) -> Lease:
        seen.append(lease)
        return replace(lease, transitions=lease.transitions + 1) if lease else Lease("pgdata")

    results = [store.update("pgdata", count) for _ in range(3)]

    expected = [Lease("pgdata", transitions=number) for number in range(3)]
    assert results == expected
    assert seen == [None, *expected[:2]]


def test_an_update_to_nothing_and_a_delete_remove_the_record(store: LeaseStore) -> None:
    for disk in ("a", "b", "c"):
        put(store, Lease(disk))

    assert store.update("a", lambda _: None) is None
    store.delete("b")
    store.delete("b")

    assert [lease.disk for lease in store.list()] == ["c"]


def test_what_an_update_raises_goes_through_and_nothing_changes(store: LeaseStore) -> None:
    put(store, FULL)

    def fail(_: Lease | None) -> Lease:
        raise LeaseHeld("no")

    with pytest.raises(LeaseHeld, match="no"):
        store.update(FULL.disk, fail)

    assert store.list() == [FULL]
    put(store, Lease("other"))


def test_threads_do_not_lose_each_others_updates(store: LeaseStore) -> None:
    together = threading.Barrier(8)

    def count_up(disk: str) -> None:
        def more(lease: Lease | None) -> Lease:
            return Lease(disk, transitions=(lease.transitions if lease else 0) + 1)

        store.update(disk, more)

    def work(number: int) -> None:
        together.wait()
        for _ in range(10):
            count_up("shared")
            count_up(f"own-{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    counts = {lease.disk: lease.transitions for lease in store.list()}
    assert counts == {"shared": 80, **{f"own-{number}": 10 for number in range(8)}}
