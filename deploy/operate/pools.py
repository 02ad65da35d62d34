"""How full pools are, shown."""

import argparse
from collections.abc import Iterable, Iterator, Sequence

from csi import fullness
from csi.fullness import Fullness
from deploy import console
from deploy.operate import figures, forecast
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.figures import Figures, PoolFigures
from deploy.operate.pool_verdict import PoolVerdict
from deploy.operate.running import Verdict
from deploy.operate.tables import document, short, span, table

TODO = "extend it (lvextend), or delete disks and snapshots, before writes fail"
"""What to do about a pool that is filling."""

_DAY = 86400

_HEAD = (
    "NODE",
    "SIZE",
    "USED",
    "DATA",
    "METADATA",
    "PROMISED",
    "LIMIT",
    "DISKS",
    "SNAPSHOTS",
    "FULL-IN",
    "STATUS",
)
_WIDE = (*_HEAD, "GROWTH/DAY", "SEEN-FOR", "PROMISED/LIMIT")


def pools(cluster: DiskCluster, arguments: argparse.Namespace) -> str | Verdict:
    """Show how full the pools are, and judge them if that is asked for."""
    told = figures.read_warning(cluster.driver)
    for warning in (*warnings(told.pools), *_promises(told.pools)):
        console.say(f"warning: {warning}")
    text = _shown(told.pools, arguments.output)
    return Verdict(text, _verdict(told)) if arguments.check else text


def warnings(found: Iterable[PoolFigures]) -> Iterator[str]:
    """Yield a sentence for each pool that has to be looked after."""
    for pool in found:
        status = status_of(pool)
        expected = forecast.of_pool(pool)
        if status is not Fullness.OK:
            yield f"the pool of node {pool.node} is {status}: {TODO}"
        elif expected.is_soon:
            yield f"the pool of node {pool.node} will be full in {expected}, as it grows: {TODO}"


def _promises(found: Iterable[PoolFigures]) -> Iterator[str]:
    for pool in found:
        share = _promised(pool)
        if share >= fullness.PROMISED:
            yield (
                f"the pool of node {pool.node} has promised {share:.0%} of what it may: new and "
                "growing disks will be refused. Extend it, delete disks, or raise --overcommit"
            )


def _promised(pool: PoolFigures) -> float:
    return fullness.share(pool.promised, pool.promise_limit)


def status_of(pool: PoolFigures) -> Fullness:
    """Return how full a pool is."""
    return fullness.of(_share(pool), pool.metadata_used)


def _verdict(told: Figures) -> PoolVerdict:
    states = {status_of(pool) for pool in told.pools}
    if Fullness.ALMOST_FULL in states:
        return PoolVerdict.ALMOST_FULL
    if any(warnings(told.pools)):
        return PoolVerdict.FILLING
    return PoolVerdict.UNKNOWN if told.silent else PoolVerdict.OK


def _shown(found: Sequence[PoolFigures], form: str) -> str:
    if form in {"json", "yaml"}:
        return document([_facts(pool) for pool in found], form)
    if form == "name":
        return "".join(f"{pool.node}\n" for pool in found)
    if not found:
        return "no pools\n"
    wide = form == "wide"
    return table(_WIDE if wide else _HEAD, [_row(pool, wide=wide) for pool in found])


def _row(pool: PoolFigures, *, wide: bool) -> tuple[str, ...]:
    row = (
        pool.node,
        short(pool.size),
        short(pool.used),
        f"{_share(pool):.0%}",
        f"{pool.metadata_used:.0%}",
        short(pool.promised),
        short(pool.promise_limit),
        str(pool.disks),
        str(pool.snapshots),
        str(forecast.of_pool(pool)),
        status_of(pool),
    )
    if not wide:
        return row
    growth = pool.growth
    daily = int(growth.used * _DAY / growth.seconds) if growth else 0
    return (
        *row,
        f"{'-' if daily < 0 else ''}{short(abs(daily))}" if growth else "",
        span(growth.seconds) if growth else "",
        f"{_promised(pool):.0%}",
    )


def _share(pool: PoolFigures) -> float:
    return fullness.share(pool.used, pool.size)


def _facts(pool: PoolFigures) -> dict[str, object]:
    growth, expected = pool.growth, forecast.of_pool(pool)
    return {
        "node": pool.node,
        "sizeBytes": pool.size,
        "usedBytes": pool.used,
        "metadataUsedRatio": pool.metadata_used,
        "promisedBytes": pool.promised,
        "promiseLimitBytes": pool.promise_limit,
        "disks": pool.disks,
        "snapshots": pool.snapshots,
        "growth": growth
        and {
            "seconds": growth.seconds,
            "usedBytes": growth.used,
            "metadataUsedRatio": growth.metadata_used,
        },
        "forecast": str(expected),
        "fullInSeconds": expected.seconds,
        "status": str(status_of(pool)),
    }
