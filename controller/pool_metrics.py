"""What Prometheus is told of a pool and its disks, read when it asks."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.pool_looks import PoolLooks
from controller.scrape import answer
from csi.disk import Inventory


class PoolMetrics(Collector):
    """How full a pool and its disks are, and which of those that this host uses are ill.

    The label `node` is the same for all processes of one pool.
    """

    def __init__(self, looks: PoolLooks, node: str) -> None:
        """Args: what is found of the pool; the node where it is."""
        self._looks = looks
        self._node = node

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures, or only that there are none."""
        inventory = answer(self._looks.inventory, "the pool")
        yield self._gauge(
            "pool_up", "Whether the pool answers: 1 or 0.", int(inventory is not None)
        )
        if inventory is not None:
            yield from self._of_pool(inventory)
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
