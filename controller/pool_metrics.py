"""What Prometheus is told of a pool and its disks, read when it asks."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.pool_growth import PoolGrowth
from controller.pool_looks import PoolLooks
from controller.scrape import answer
from csi.disk import Inventory, PoolUsage


class PoolMetrics(Collector):
    """How full a pool and its disks are, and which of those that this host uses are ill.

    The label `node` is the same for all processes of one pool.
    """

    def __init__(self, looks: PoolLooks, growth: PoolGrowth, node: str) -> None:
        """Args: what is found of the pool; how fast it fills; the node where it is."""
        self._looks = looks
        self._growth = growth
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures, or only that there are none."""
        inventory = answer(self._looks.inventory, "the pool")
        yield self._gauge(
            "pool_up", "Whether the pool answers: 1 or 0.", int(inventory is not None)
        )
        if inventory is not None:
            yield from self._of_pool(inventory)
            yield from self._of_growth(inventory.usage)
            yield from self._of_disks(inventory)
            yield from self._of_health()

    def _of_pool(self, inventory: Inventory) -> Iterator[GaugeMetricFamily]:
        usage, gauge = inventory.usage, self._gauge
        yield gauge("pool_size_bytes", "What the pool can hold.", usage.size)
        yield gauge("pool_used_bytes", "What is written in it, snapshots included.", usage.used)
        yield gauge(
            "pool_metadata_used_ratio",
            "The used share of its metadata space, 0 to 1; 0 where there is none.",
            usage.metadata_used,
        )
        yield gauge("pool_promised_bytes", "The sum of its disks' sizes.", usage.provisioned)
        yield gauge(
            "pool_promise_limit_bytes",
            "The most that it may promise to disks.",
            usage.promise_limit,
        )
        yield gauge("pool_disks", "Disks in the pool.", len(inventory.disks))
        yield gauge("pool_snapshots", "Snapshots in the pool.", inventory.snapshots)

    def _of_growth(self, usage: PoolUsage) -> Iterator[GaugeMetricFamily]:
        """Yield figures that are missing until enough was seen."""
        seconds = self._family("pool_growth_seconds", "For how long its growth was seen.")
        used = self._family("pool_growth_bytes", "What more is written in it than that long ago.")
        metadata = self._family(
            "pool_growth_metadata_ratio",
            "What more of its metadata space is used than that long ago.",
        )
        told = self._growth.until(usage)
        if told is not None:
            seconds.add_metric([self._node], told.seconds)
            used.add_metric([self._node], told.used)
            metadata.add_metric([self._node], told.metadata_used)
        yield from (seconds, used, metadata)

    def _of_disks(self, inventory: Inventory) -> Iterator[GaugeMetricFamily]:
        size = self._family("disk_size_bytes", "The disk's size.", "disk")
        used = self._family(
            "disk_used_bytes",
            "What the pool keeps for the disk; deleted files count until they are trimmed.",
            "disk",
        )
        for one in inventory.disks:
            size.add_metric([self._node, one.disk.name], one.disk.size)
            used.add_metric([self._node, one.disk.name], one.used)
        yield size
        yield used

    def _of_health(self) -> Iterator[GaugeMetricFamily]:
        used = answer(self._looks.used, "the disks' health")
        yield self._gauge(
            "disk_health_up",
            "Whether the disks that this node uses could be looked at: 1 or 0.",
            int(used is not None),
        )
        found = self._family(
            "disk_problem",
            "Always 1: what is wrong with a disk that this node uses.",
            *("disk", "kind", "reason"),
        )
        for one in used or ():
            for bad in one.conditions:
                found.add_metric([self._node, one.disk.name, bad.severity, bad.reason], 1)
        yield found

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        gauge = self._family(name, text)
        gauge.add_metric([self._node], value)
        return gauge

    def _family(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"miren_csi_{name}", text, labels=["node", *labels])
