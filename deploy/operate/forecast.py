"""When a pool will be full, if it goes on as its node has seen it grow."""

from collections.abc import Iterator
from dataclasses import dataclass

from csi import fullness
from deploy.operate.figures import PoolFigures
from deploy.operate.tables import span

NOT_KNOWN = "not known yet"
NOT_GROWING = "not growing"
_YEAR = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a pool."""

    is_known: bool = False
    seconds: float | None = None
    """How long until it is full; None when it is not growing, or nothing is known."""
    is_soon: bool = False
    """Whether it has to be looked after now, by the limits of `csi.fullness`."""

    def __str__(self) -> str:
        if not self.is_known:
            return NOT_KNOWN
        if self.seconds is None:
            return NOT_GROWING
        return span(self.seconds) if self.seconds < _YEAR else "over a year"


def of_pool(pool: PoolFigures) -> Forecast:
    """Return what is to be expected of its data and its metadata, whichever is full first."""
    if pool.growth is None:
        return Forecast()
    ends = [*_ends(pool)]
    return Forecast(
        is_known=True,
        seconds=min((seconds for seconds, _ in ends), default=None),
        is_soon=any(
            seconds < fullness.FULL_SOON and share > fullness.NOT_SOON for seconds, share in ends
        ),
    )


def _ends(pool: PoolFigures) -> Iterator[tuple[float, float]]:
    """Yield in how many seconds each space that grows is full, and its used share."""
    growth = pool.growth
    if growth and growth.used > 0:
        seconds = (pool.size - pool.used) * growth.seconds / growth.used
        yield max(0.0, seconds), fullness.share(pool.used, pool.size)
    if growth and growth.metadata_used > 0:
        seconds = (1 - pool.metadata_used) * growth.seconds / growth.metadata_used
        yield max(0.0, seconds), pool.metadata_used
