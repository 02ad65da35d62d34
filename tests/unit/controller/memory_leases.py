"""A store of leases in memory, and a clock that stands still until told."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from controller.lease import Lease
from controller.leases import Change


@dataclass(slots=True)
class MemoryLeaseStore:
    """Passes the same contract tests as the real ones."""

    _leases: dict[str, Lease] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, disk: str) -> Lease | None:
        return self._leases.get(disk)

    def list(self) -> list[Lease]:
        with self._lock:
            return [self._leases[disk] for disk in sorted(self._leases)]

    def update(self, disk: str, change: Change) -> Lease | None:
        with self._lock:
            after = change(self._leases.get(disk))
            self._leases.pop(disk, None)
            if after is not None:
                self._leases[disk] = after
            return after

    def delete(self, disk: str) -> None:
        self.update(disk, lambda _: None)


@dataclass(slots=True)
class Clock:
    """Tells the time that a test says it is."""

    now: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)
