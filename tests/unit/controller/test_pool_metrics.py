"""Figures of pools and leases for Prometheus, also when those do not answer."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.registry import Collector

from controller.lease import Claim, Lease
from controller.lease_metrics import LeaderMetrics, LeaseMetrics
from controller.leases import Leases
from controller.pool_growth import PoolGrowth
from controller.pool_looks import PoolLooks
from controller.pool_metrics import PoolMetrics
from csi.disk import GIB, Content, Disk, NewSnapshot, PoolUsage
from csi.errors import LeaseHeld, Unavailable
from tests.unit.controller.memory_leases import Clock, MemoryLeaseStore
from tests.unit.controller.memory_pool import BLOCK, MemoryPool


def figures(metrics: Collector) -> dict[str, float]:
    """Each sample by its name, with the labels that are not the same for all."""
    found = {}
    for family in metrics.collect():
        for sample in family.samples:
            name = sample.name.removeprefix("miren_csi_")
            particular = [value for label, value in sample.labels.items() if label != "node"]
            found[f"{name}{{{','.join(particular)}}}" if particular else name] = sample.value
    return found


def metrics_of(pool: MemoryPool, patience: float = 3.0) -> PoolMetrics:
    return PoolMetrics(PoolLooks(pool, patience), PoolGrowth(pool), "node-1")


@pytest.fixture
def pool() -> MemoryPool:
    return MemoryPool(size=10 * GIB, used=3 * GIB, metadata_used=0.25, overcommit=1.5)


def test_a_pool_tells_how_full_it_is(pool: MemoryPool) -> None:
    pool.create(Disk("a", GIB))
    pool.create(Disk("b", 2 * GIB))
    pool.write("a", 1, 2, 3)
    pool.create_snapshots([NewSnapshot("s", "a")])

    assert figures(metrics_of(pool)) == {
        "pool_up": 1,
        "pool_size_bytes": 10 * GIB,
        "pool_used_bytes": 3 * GIB,
        "pool_metadata_used_ratio": 0.25,
        "pool_promised_bytes": 3 * GIB,
        "pool_promise_limit_bytes": 15 * GIB,
        "pool_disks": 2,
        "pool_snapshots": 1,
        "disk_size_bytes{a}": GIB,
        "disk_size_bytes{b}": 2 * GIB,
        "disk_used_bytes{a}": 3 * BLOCK,
        "disk_used_bytes{b}": 0,
        "disk_health_up": 1,
    }


def test_an_idle_disk_is_not_looked_at(pool: MemoryPool, tmp_path: Path) -> None:
    pool.create(Disk("a", GIB))
    pool.mark("a", Content.FORMATTED)
    empty = tmp_path / "device"
    empty.write_bytes(bytes(128 << 10))
    pool.devices["a"] = empty

    assert not any("problem" in name for name in figures(metrics_of(pool)))


def test_every_figure_of_a_pool_names_its_node(pool: MemoryPool) -> None:
    families = metrics_of(pool).collect()
    assert {one.labels["node"] for family in families for one in family.samples} == {"node-1"}


def test_a_pool_that_fails_is_down_and_has_no_figures(pool: MemoryPool) -> None:
    pool.works = False
    assert figures(metrics_of(pool)) == {"pool_up": 0}


@dataclass(slots=True)
class SilentPool(MemoryPool):
    """Answers only when it is let."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def usage(self) -> PoolUsage:
        self.asked_for_usage += 1
        assert self.go_on.wait(30)
        return PoolUsage(size=1, used=0, provisioned=0, overcommit=1.0, granularity=1)


@pytest.fixture
def silent() -> Iterator[SilentPool]:
    pool = SilentPool()
    yield pool
    pool.go_on.set()


def test_a_pool_that_hangs_is_down_and_asked_once(silent: SilentPool) -> None:
    metrics = metrics_of(silent, patience=0.01)

    for _ in range(5):
        assert figures(metrics) == {"pool_up": 0}

    assert silent.asked_for_usage == 1


def test_many_scrapes_ask_a_pool_once(pool: MemoryPool) -> None:
    metrics = metrics_of(pool)
    for _ in range(20):
        assert figures(metrics)["pool_up"] == 1
    assert pool.asked_for_usage == 1


def test_leases_are_counted_by_state() -> None:
    clock = Clock()
    leases = Leases(MemoryLeaseStore(), clock)
    for disk in ("held", "held-too", "waited-for", "given-up", "free"):
        leases.acquire(Claim(disk, holder="default/a", node="n"))
    for disk, timeout in (("waited-for", 300.0), ("given-up", 5.0), ("held-too", 5.0)):
        with pytest.raises(LeaseHeld):
            leases.acquire(Claim(disk, holder="default/b", node="n", timeout=timeout))
    for disk in ("waited-for", "given-up", "free"):
        leases.release(disk)
    clock.pass_by(seconds=60)

    assert figures(LeaseMetrics(leases)) == {
        "leases_up": 1,
        "leases{bound}": 2,
        "leases{pending}": 1,
        "leases{failed}": 1,
        "leases{released}": 1,
        **{f"lease_wait_seconds{{{disk}}}": 60 for disk in ("waited-for", "given-up", "held-too")},
    }


def test_the_longest_wait_for_a_disk_is_told() -> None:
    clock = Clock()
    leases = Leases(MemoryLeaseStore(), clock)
    leases.acquire(Claim("pgdata", holder="default/a", node="n"))
    for holder in ("default/b", "default/c"):
        with pytest.raises(LeaseHeld):
            leases.acquire(Claim("pgdata", holder=holder, node="n"))
        clock.pass_by(seconds=20)

    assert figures(LeaseMetrics(leases))["lease_wait_seconds{pgdata}"] == 40


def test_a_controller_tells_whether_it_leads() -> None:
    leads = iter([True, False])
    metrics = LeaderMetrics(lambda: next(leads))
    assert [figures(metrics), figures(metrics)] == [{"leader": 1}, {"leader": 0}]


class BrokenStore(MemoryLeaseStore):
    def list(self) -> list[Lease]:
        raise Unavailable("the API server is away")


def test_leases_that_cannot_be_read_are_down_and_have_no_numbers() -> None:
    assert figures(LeaseMetrics(Leases(BrokenStore()))) == {"leases_up": 0}
