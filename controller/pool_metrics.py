"""What Prometheus is told of the pool and the leases, read when it asks.

It never waits long for them: who does not answer is told to be down, and has no figures.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.lease import LeaseState
from controller.leases import Leases
from controller.pool import Pool
from csi.disk import PoolUsage
from csi.errors import DiskError
from csi.http_recent import Recent

log = logging.getLogger(__name__)

T = TypeVar("T")

AGE = 5.0
"""Seconds for which figures are good: more scrapes than that cost nothing."""
PATIENCE = 3.0
"""Seconds that a scrape waits for them; Prometheus itself gives up after 10."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a pool has."""

    usage: PoolUsage
    disks: int
    snapshots: int


class PoolMetrics(Collector):
    """How full a pool is. The label `node` is the same for all processes of one pool."""

    def __init__(self, pool: Pool, node: str, patience: float = PATIENCE) -> None:
        """Args: the pool; the node where it is; how many seconds to wait for its figures."""
        self._pool = pool
        self._node = node
        self._figures = Recent(self._read, age=AGE, patience=patience)

    def _read(self) -> Figures:
        pool = self._pool
        return Figures(pool.usage(), len(pool.disks()), len(pool.snapshots()))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures, or only that there are none."""
        figures = _answer(self._figures.get, "the pool")
        yield self._gauge("up", "Whether the pool answers: 1 or 0.", int(figures is not None))
        if figures is None:
            return
        usage = figures.usage
        limit = int(usage.size * usage.overcommit)
        yield self._gauge("size_bytes", "What the pool can hold.", usage.size)
        yield self._gauge("used_bytes", "What is written in it, snapshots included.", usage.used)
        yield self._gauge(
            "metadata_used_ratio",
            "The used share of its metadata space, 0 to 1; 0 where there is none.",
            usage.metadata_used,
        )
        yield self._gauge("promised_bytes", "The sum of its disks' sizes.", usage.provisioned)
        yield self._gauge("promise_limit_bytes", "The most that it may promise to disks.", limit)
        yield self._gauge("disks", "Disks in the pool.", figures.disks)
        yield self._gauge("snapshots", "Snapshots in the pool.", figures.snapshots)

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(f"miren_csi_pool_{name}", text, labels=["node"])
        gauge.add_metric([self._node], value)
        return gauge


class LeaseMetrics(Collector):
    """How many disks' leases are in which state."""

    def __init__(self, leases: Leases, patience: float = PATIENCE) -> None:
        """Args: the leases; how many seconds to wait for them."""
        self._leases = leases
        self._states = Recent(self._read, age=AGE, patience=patience)

    def _read(self) -> Counter[LeaseState]:
        return Counter(self._leases.state(lease) for lease in self._leases.list())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the numbers, or only that there are none."""
        states = _answer(self._states.get, "the leases")
        yield GaugeMetricFamily(
            "miren_csi_leases_up",
            "Whether the record of leases can be read: 1 or 0.",
            int(states is not None),
        )
        if states is None:
            return
        gauge = GaugeMetricFamily(
            "miren_csi_leases", "Leases of disks, by state.", labels=["state"]
        )
        for state in LeaseState:
            gauge.add_metric([state.value], states[state])
        yield gauge


def _answer(ask: Callable[[], T], of: str) -> T | None:
    try:
        return ask()
    except (DiskError, OSError) as error:  # a TimeoutError is one of the latter
        log.warning("no figures of %s for /metrics: %s", of, error)
        return None
