"""Whether a pool may promise more: the overcommit limit, the same for all pools."""

from csi.disk import PoolUsage
from csi.errors import PoolFull

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def admit(usage: PoolUsage, what: str, extra: int) -> None:
    """Raise PoolFull, with the figures, unless the pool may promise `extra` more bytes.

    Args:
        usage: how full the pool is now.
        what: who wants it, as the user knows it (`disk "pgdata"`).
        extra: bytes, a multiple of the pool's granularity.
    """
    if extra <= usage.promisable:
        return
    raise PoolFull(
        f"{what} needs {human(extra)}, but only {human(usage.promisable)} of the pool may still "
        f"be promised ({human(usage.provisioned)} promised of "
        f"{human(usage.size)} \N{MULTIPLICATION SIGN} overcommit {usage.overcommit:g})"
    )


def human(size: int) -> str:
    """Return a number of bytes as people write it: `512 MiB`, `3.5 GiB`."""
    value, power = float(size), 0
    while value >= 1024 and power < len(_UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.4g} {_UNITS[power]}"
