"""`miren-mover hold`: keeps a pod, and so its volume, while somebody works in it by exec."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNVISITED = 900.0
"""Seconds to wait for the first to come: the app's own command after the cut is before."""

LEFT = 300.0
"""Seconds to wait for the next one: longer than commands bear with a server that is mute."""

_EVERY = 5.0


@contextmanager
def waiting(unvisited: float, *, left: float = LEFT, every: float = _EVERY) -> Iterator[None]:
    """After the body, wait until SIGTERM comes or has come in it, or nobody works here any more.

    Somebody works as long as there is another process.

    Args:
        unvisited: seconds to wait for the first.
        left: seconds to wait when the last has ended.
        every: seconds between two looks.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    until = time.monotonic() + unvisited
    while signal.sigtimedwait({signal.SIGTERM}, every) is None:
        if _is_visited():
            until = time.monotonic() + left
        elif time.monotonic() > until:
            return


def _is_visited() -> bool:
    """Tell whether the container, whose first process this is, has another one: proc_pid(5)."""
    own = str(os.getpid())
    return any(one.name.isdecimal() and one.name != own for one in Path("/proc").iterdir())
