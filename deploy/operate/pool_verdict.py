"""How `kubectl miren pool --check` ends."""

from enum import IntEnum


class PoolVerdict(IntEnum):
    """An exit status; the worst of all pools counts."""

    OK = 0
    UNKNOWN = 1
    """A node does not tell of its pool."""
    FILLING = 3
    """A pool is filling, or will be full soon."""
    ALMOST_FULL = 4
