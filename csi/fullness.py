"""When a pool is too full: the limits of volume health, `kubectl miren pool` and the alerts alike.

The alerts' rules.yaml and the dashboard have them written down too; a test compares those.
"""

from enum import StrEnum

FILLING = 0.8
"""The share of a pool's data or metadata space from which on it has to be looked after."""
ALMOST_FULL = 0.9
"""The share from which on its disks are in danger: they are degraded then."""
FULL_SOON = 86400.0
"""Seconds: a pool that will be full so soon, as it grows now, has to be looked after."""
NOT_SOON = 0.5
"""The share below which a pool is not said to be full soon, however fast it grows: a restore or an
import ends by itself."""

PROMISED = 0.9
"""The share of what a pool may promise from which on it will soon refuse disks."""
FILESYSTEM_ALMOST_FULL = 0.95
"""The share of a filesystem inside of a disk from which on its user is about to run out of it."""


class Fullness(StrEnum):
    """How full a pool is."""

    OK = "ok"
    FILLING = "filling"
    ALMOST_FULL = "almost-full"


def of(data: float, metadata: float) -> Fullness:
    """Return how full a pool is, given the used shares of its space, 0 to 1."""
    most = max(data, metadata)
    if most >= ALMOST_FULL:
        return Fullness.ALMOST_FULL
    return Fullness.FILLING if most >= FILLING else Fullness.OK


def share(used: int, size: int) -> float:
    """Return the used share of a space; one that is nothing is full."""
    return used / size if size else 1.0
