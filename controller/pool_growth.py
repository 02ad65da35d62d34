"""How fast a pool fills, as far as this process has seen it: nothing of it outlives a restart."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from controller.pool import HostPool
from controller.scrape import PATIENCE
from csi.disk import PoolUsage
from csi.errors import DiskError
from csi.http_recent import Recent

EVERY = 600.0
"""Seconds between two looks. They are few, since each costs an LVM command."""
LONGEST = 3 * 86400.0
"""Seconds: what was longer ago says little about how the pool grows now."""
ENOUGH = 3600.0
"""Seconds that have to be seen before anything is said: a copy or an import is no trend."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What has become more, or less, since a first look."""

    seconds: float
    """How long ago that was."""
    used: int
    """Bytes."""
    metadata_used: float
    """Of the share of the metadata space."""


class PoolGrowth:
    """Remembers how full a pool was whenever it was told to look."""

    def __init__(self, pool: HostPool, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: the pool; clock: tells seconds."""
        # Never older than the look, and none that hangs keeps the driver from ending.
        self._usage = Recent(pool.usage, age=0.0, patience=PATIENCE)
        self._clock = clock
        self._seen: deque[tuple[float, PoolUsage]] = deque()

    def look(self) -> None:
        """Remember how full the pool is now; a pool that does not answer is passed over."""
        try:
            usage = self._usage.get()
        except (DiskError, OSError):  # a TimeoutError is one of the latter
            return
        now = self._clock()
        self._seen.append((now, usage))
        while now - self._seen[0][0] > LONGEST:
            self._seen.popleft()

    def until(self, usage: PoolUsage) -> Growth | None:
        """Return the growth until now, when the pool is so full; None until enough was seen."""
        if not self._seen:
            return None
        time_, first = self._seen[0]
        seconds = self._clock() - time_
        if seconds < ENOUGH:
            return None
        return Growth(seconds, usage.used - first.used, usage.metadata_used - first.metadata_used)
