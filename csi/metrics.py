"""What the driver tells Prometheus about itself; pools and leases have theirs in `controller`.

Names are in Prometheus' style (prometheus.io/docs/practices/naming): base units, and `miren_csi_`
before what is not the same for every process.
"""

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from csi import __version__
from csi.http_server import Page

_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_LVM_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """A registry of its own with what is counted while the driver works."""

    def __init__(self) -> None:
        """Begin to count."""
        # They say when a series began: one more for each series, which Prometheus does not use.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        version = Gauge(
            "miren_csi_build_info",
            "Always 1; its label says which version of the driver runs.",
            ["version"],
            registry=self.registry,
        )
        version.labels(__version__).set(1)
        self._calls = Histogram(
            "miren_csi_call_duration_seconds",
            "CSI calls by method and gRPC status code, and how long they took.",
            ["method", "code"],
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )
        self._commands = Histogram(
            "miren_csi_lvm_command_duration_seconds",
            "LVM commands by name, and how long LVM worked on them.",
            ["command"],
            buckets=_LVM_SECONDS,
            registry=self.registry,
        )

    def observe_call(self, method: str, code: str, seconds: float) -> None:
        """Count a call that has ended."""
        self._calls.labels(method, code).observe(seconds)

    def observe_command(self, command: str, seconds: float) -> None:
        """Count an LVM command that has ended."""
        self._commands.labels(command).observe(seconds)

    def page(self) -> Page:
        """Return everything in Prometheus' text format."""
        return Page(generate_latest(self.registry).decode(), kind=CONTENT_TYPE_PLAIN_0_0_4)
