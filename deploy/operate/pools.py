"""How full pools are, shown."""

import argparse

from csi import fullness
from csi.fullness import Fullness
from deploy import console
from deploy.operate import figures
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.figures import PoolFigures
from deploy.operate.tables import document, short, table

TODO = "extend it (lvextend), or delete disks and snapshots, before writes fail"
"""What to do about a pool that is filling."""

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
    "STATUS",
)


def pools(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Show how full the pools are."""
    found = figures.read_warning(cluster.driver).pools
    for pool in found:
        status = status_of(pool)
        if status is not Fullness.OK:
            console.say(f"warning: the pool of node {pool.node} is {status}: {TODO}")
    if arguments.output in {"json", "yaml"}:
        return document([_facts(pool) for pool in found], arguments.output)
    rows = [
        (
            pool.node,
            short(pool.size),
            short(pool.used),
            f"{_share(pool):.0%}",
            f"{pool.metadata_used:.0%}",
            short(pool.promised),
            short(pool.promise_limit),
            str(pool.disks),
            str(pool.snapshots),
            status_of(pool),
        )
        for pool in found
    ]
    return table(_HEAD, rows) if rows else "no pools\n"


def status_of(pool: PoolFigures) -> Fullness:
    """Return how full a pool is."""
    return fullness.of(_share(pool), pool.metadata_used)


def _share(pool: PoolFigures) -> float:
    return fullness.share(pool.used, pool.size)


def _facts(pool: PoolFigures) -> dict[str, object]:
    return {
        "node": pool.node,
        "sizeBytes": pool.size,
        "usedBytes": pool.used,
        "metadataUsedRatio": pool.metadata_used,
        "promisedBytes": pool.promised,
        "promiseLimitBytes": pool.promise_limit,
        "disks": pool.disks,
        "snapshots": pool.snapshots,
        "status": str(status_of(pool)),
    }
