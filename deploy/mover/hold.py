"""`miren-mover hold`: keeps a pod, and so its volume, while somebody works in it by exec."""

import signal

LONGEST = 3600.0
"""Seconds."""


def hold() -> dict[str, object]:
    """Wait until SIGTERM comes, an hour at most."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    told = signal.sigtimedwait({signal.SIGTERM}, LONGEST)
    return {"told": told is not None}
