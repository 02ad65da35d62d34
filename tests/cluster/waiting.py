"""Waiting for something to become true."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, *, within: float, every: float = 0.1
) -> None:
    """Ask `condition` every so many seconds until it says something true.

    Raises AssertionError, naming `what` was waited for, after `within` seconds.
    """
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s in vain until {what}")
        time.sleep(every)
