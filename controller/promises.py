"""Remembers what a pool has promised, so that counting does not cost every call."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from controller.capacity import admit
from csi.disk import Disk, PoolUsage

_AGE = 10.0
"""Seconds after which promises are counted again: other programs may change the pool too."""


def promise(disk: Disk) -> int:
    """Return the bytes that a pool promises by making a disk, for which it must have room.

    A scratch volume that is a copy is promised nothing, whatever its size: like a snapshot it only
    keeps what its source had already, and it goes soon. An empty one must have room, for a disk
    is to come of it; that one is counted then, so the scratch volume is not counted as well.
    """
    return 0 if disk.scratch_for and disk.source else disk.size


class Promises:
    """The sum of the sizes that disks were promised, held against the overcommit limit.

    The remembered figures only ever let a call pass; before one is refused the pool is asked, at a
    moment when no promise is on its way: a count may or may not have those.
    """

    def __init__(self, count: Callable[[], PoolUsage]) -> None:
        """Args: count: asks the pool, which is slow."""
        self._count = count
        self._changed = threading.Condition()
        self._on_the_way: list[int] = []
        self._usage: PoolUsage | None = None
        self._counted = 0.0

    def count(self) -> PoolUsage:
        """Ask the pool and remember the answer."""
        usage = self._count()
        promised = usage.provisioned + sum(self._on_the_way)
        self._usage, self._counted = replace(usage, provisioned=promised), time.monotonic()
        return usage

    def recent(self) -> PoolUsage:
        """Return figures that are at most a few seconds old."""
        usage = self._usage
        if usage is None or time.monotonic() - self._counted > _AGE:
            self.count()
        return self._usage or self.count()

    def forget(self) -> None:
        """Count again before the next promise."""
        self._usage = None

    @contextmanager
    def hold(self, what: str, extra: int) -> Iterator[None]:
        """Promise `extra` bytes for what happens inside; an exception takes the promise back.

        Raises PoolFull when the limit says no.
        """
        with self._changed:
            usage = self.recent()
            if extra > usage.promisable:
                self._changed.wait_for(lambda: not self._on_the_way)
                usage = self.count()
            admit(usage, what, extra)
            self._usage = replace(usage, provisioned=usage.provisioned + extra)
            self._on_the_way.append(extra)
        try:
            yield
        except BaseException:
            self.forget()
            raise
        finally:
            with self._changed:
                self._on_the_way.remove(extra)
                self._changed.notify_all()
