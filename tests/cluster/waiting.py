"""Waiting for something to become true."""

import time
from collections.abc import Callable

_REST = 3.0
"""How many times as long as an answer took it rests: who asks by kubectl would take a CPU else."""
_LONGEST_REST = 1.0


def wait_until(
    condition: Callable[[], object], what: str, *, within: float, every: float = 0.1
) -> None:
    """Ask `condition` every so many seconds, or less often if it takes long, until it is true.

    Raises AssertionError, naming `what` was waited for, after `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        asked = time.monotonic()
        if condition():
            return
        answered = time.monotonic()
        if answered > deadline:
            raise AssertionError(f"waited {within:g} s in vain until {what}")
        time.sleep(max(every, min(_REST * (answered - asked), _LONGEST_REST)))
