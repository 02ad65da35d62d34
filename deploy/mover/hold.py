"""`miren-mover hold`: keeps a pod, and so its volume, while somebody works in it by exec."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 3600.0
"""Seconds."""


@contextmanager
def waiting() -> Iterator[None]:
    """After the body, wait until SIGTERM comes or has come in it, an hour at most."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    signal.sigtimedwait({signal.SIGTERM}, LONGEST)
