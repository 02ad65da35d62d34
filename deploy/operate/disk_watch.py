"""Disks as they change, until nobody wants to know any more."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from csi.errors import DiskError
from deploy import console
from deploy.operate.disk_rows import DiskRows
from deploy.operate.disk_state import DiskState
from deploy.operate.overview import DiskFacts

EVERY = 2.0
"""Seconds between two looks.

What only nodes know cannot be watched, and the Leases of the driver's namespace change all the
time, those of its leaders among them: looking is simpler, and costs no more.
"""

Look = Callable[[], list[tuple[DiskFacts, bool]]]
"""Returns the disks, and whether each is one of those that are asked for."""
Wait = Callable[[float], object]


def watch(look: Look, rows: DiskRows, wait: Wait | None = None) -> Iterator[str]:
    """Yield the disks that are asked for, then each of them that has changed.

    One that is not what was asked for any more is shown once as it is now, one that is gone as
    `deleted`. A look that fails later is told of once, and tried again. Raises DiskError when the
    first does.
    """
    pause = wait or threading.Event().wait
    shown: dict[str, DiskFacts] = {}
    found = look()
    while True:
        changed = [
            disk
            for disk, is_wanted in found
            if (before := shown.get(disk.name)) or is_wanted
            if before is None or rows.looks(before) != rows.looks(disk)
        ]
        there = {disk.name for disk, _ in found}
        gone = [
            replace(disk, state=DiskState.DELETED)
            for name, disk in shown.items()
            if name not in there
        ]
        shown = {disk.name: disk for disk, is_wanted in found if is_wanted}
        if changed or gone:
            yield rows.more([*changed, *gone])
        found = _next(look, pause)


def _next(look: Look, pause: Wait) -> list[tuple[DiskFacts, bool]]:
    trouble = ""
    while True:
        pause(EVERY)
        try:
            return look()
        except DiskError as error:
            if str(error) != trouble:
                console.say(f"warning: {error}; still watching")
            trouble = str(error)
