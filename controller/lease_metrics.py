"""What Prometheus is told of the leases and of who looks after them, read when it asks."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.lease import LeaseState
from controller.leases import Leases
from controller.scrape import AGE, PATIENCE, answer
from csi.http_recent import Recent


@dataclass(frozen=True, slots=True)
class Standing:
    """How the leases stand."""

    states: Counter[LeaseState]
    waits: dict[str, float]
    """For how many seconds the longest wait for each disk that is waited for has lasted."""


class LeaseMetrics(Collector):
    """How many disks' leases are in which state, and who waits for how long."""

    def __init__(self, leases: Leases, patience: float = PATIENCE) -> None:
        """Args: the leases; how many seconds to wait for them."""
        self._leases = leases
        self._standing = Recent(self._read, age=AGE, patience=patience)

    def _read(self) -> Standing:
        found = self._leases.list()
        waits = {lease.disk: self._leases.longest_wait(lease) for lease in found if lease.waiting}
        return Standing(Counter(self._leases.state(lease) for lease in found), waits)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the numbers, or only that there are none."""
        standing = answer(self._standing.get, "the leases")
        yield GaugeMetricFamily(
            "miren_csi_leases_up",
            "Whether the record of leases can be read: 1 or 0.",
            int(standing is not None),
        )
        if standing is None:
            return
        states = GaugeMetricFamily(
            "miren_csi_leases", "Leases of disks, by state.", labels=["state"]
        )
        for state in LeaseState:
            states.add_metric([state.value], standing.states[state])
        yield states
        waits = GaugeMetricFamily(
            "miren_csi_lease_wait_seconds",
            "How long an instance has waited for a disk by now: the longest wait for each disk.",
            labels=["disk"],
        )
        for disk, seconds in standing.waits.items():
            waits.add_metric([disk], seconds)
        yield waits


class LeaderMetrics(Collector):
    """Whether this controller leads."""

    def __init__(self, is_leader: Callable[[], bool]) -> None:
        """Args: is_leader: tells it, at once."""
        self._is_leader = is_leader

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield it."""
        yield GaugeMetricFamily(
            "miren_csi_leader",
            "Whether this controller looks after the cluster's objects: 1 or 0.",
            int(self._is_leader()),
        )
