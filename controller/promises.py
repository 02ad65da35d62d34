"""Remembers what a pool has promised, so that counting does not cost every call."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from controller.capacity import admit
from csi.disk import PoolUsage

_AGE = 10.0
"""Seconds after which promises are counted again: other programs may change the pool too."""


class Promises:
    """The sum of the sizes that disks were promised, held against the overcommit limit.

    The remembered figures only ever let a call pass; before one is refused the pool is asked.
    """

    def __init__(self, count: Callable[[], PoolUsage]) -> None:
        """Args: count: asks the pool, which is slow."""
        self._count = count
        self._lock = threading.Lock()
        self._usage: PoolUsage | None = None
        self._counted = 0.0

    def count(self) -> PoolUsage:
        """Ask the pool and remember the answer."""
        usage = self._count()
        self._usage, self._counted = usage, time.monotonic()
        return usage

    def recent(self) -> PoolUsage:
        """Return figures that are at most a few seconds old."""
        usage = self._usage
        if usage is None or time.monotonic() - self._counted > _AGE:
            return self.count()
        return usage

    def forget(self) -> None:
        """Count again before the next promise."""
        self._usage = None

    @contextmanager
    def hold(self, what: str, extra: int) -> Iterator[None]:
        """Promise `extra` bytes for what happens inside; an exception takes the promise back.

        Raises PoolFull when the limit says no.
        """
        with self._lock:
            usage = self.recent()
            if extra > usage.promisable:
                usage = self.count()
            admit(usage, what, extra)
            self._usage = replace(usage, provisioned=usage.provisioned + extra)
        try:
            yield
        except BaseException:
            self.forget()
            raise
