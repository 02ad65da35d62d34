"""How fast a pool fills, as far as it was seen."""

import pytest

from controller.pool_growth import ENOUGH, LONGEST, Growth, PoolGrowth
from controller.pool_looks import PoolLooks
from controller.pool_metrics import PoolMetrics
from csi.disk import GIB, PoolUsage
from tests.unit.controller.memory_pool import MemoryPool

HOUR = 3600.0


class Looker:
    """A growth of a pool that changes, and a clock that is put forward."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pool = MemoryPool(size=10 * GIB)

    def growth(self, *used: tuple[float, int]) -> PoolGrowth:
        """What was seen in looks after so many hours, each with so many GiB in the pool."""
        growth = PoolGrowth(self.pool, lambda: self.now)
        begin = self.now
        for hours, amount in used:
            self.now, self.pool.used = begin + hours * HOUR, amount * GIB
            growth.look()
        return growth

    def usage(self, used: int, metadata: float = 0.0) -> PoolUsage:
        self.pool.used, self.pool.metadata_used = used * GIB, metadata
        return self.pool.usage()


@pytest.fixture
def looker() -> Looker:
    return Looker()


def test_nothing_is_said_before_enough_was_seen(looker: Looker) -> None:
    assert looker.growth().until(looker.usage(3)) is None
    growth = looker.growth((0, 1))
    looker.now += ENOUGH - 1

    assert growth.until(looker.usage(3)) is None


def test_growth_counts_from_the_first_look(looker: Looker) -> None:
    growth = looker.growth((0, 1), (2, 5), (4, 2))
    looker.now += HOUR

    assert growth.until(looker.usage(3, 0.25)) == Growth(5 * HOUR, 2 * GIB, 0.25)


def test_what_was_too_long_ago_is_forgotten(looker: Looker) -> None:
    longest = LONGEST / HOUR

    growth = looker.growth((0, 9), (1, 1), (longest + 1, 2))

    assert growth.until(looker.usage(2)) == Growth(LONGEST, GIB, 0.0)


def test_a_pool_that_does_not_answer_is_passed_over(looker: Looker) -> None:
    growth = looker.growth((0, 1))
    looker.pool.works = False
    looker.now += LONGEST
    growth.look()
    looker.pool.works = True

    assert growth.until(looker.usage(2)) == Growth(LONGEST, GIB, 0.0)


def test_prometheus_is_told_what_was_seen(looker: Looker) -> None:
    growth = looker.growth((0, 1))
    metrics = PoolMetrics(PoolLooks(looker.pool), growth, "node-1")

    def told() -> dict[str, float]:
        return {
            one.name.removeprefix("miren_csi_pool_growth_"): one.value
            for family in metrics.collect()
            for one in family.samples
            if "growth" in one.name
        }

    assert told() == {}
    looker.now += 2 * HOUR
    assert told() == {"seconds": 2 * HOUR, "bytes": 0, "metadata_ratio": 0}
