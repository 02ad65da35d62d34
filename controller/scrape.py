"""How a scrape gets figures: it never waits long, and who does not answer is down and has none."""

import logging
from collections.abc import Callable
from typing import TypeVar

from csi.errors import DiskError

log = logging.getLogger(__name__)

T = TypeVar("T")

AGE = 5.0
"""Seconds for which figures are good: more scrapes than that cost nothing."""
PATIENCE = 3.0
"""Seconds that a scrape waits for them; Prometheus itself gives up after 10."""


def answer(ask: Callable[[], T], of: str) -> T | None:
    """Return what `ask` finds out about something, None when that cannot be had now."""
    try:
        return ask()
    except (DiskError, OSError) as error:  # a TimeoutError is one of the latter
        log.warning("no figures of %s for /metrics: %s", of, error)
        return None
