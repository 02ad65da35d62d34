"""`kubectl miren disk list` and `kubectl miren pool`."""

import argparse

from deploy import console
from deploy.operate import figures, overview
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.figures import Figures, PoolFigures
from deploy.operate.overview import DiskFacts
from deploy.operate.tables import age, document, short, table

FILLING, FULL = 0.80, 0.95
"""Shares of a pool's data or metadata from which on it is said to be filling, and full."""

_DISKS = ("NAME", "SIZE", "USED", "FS", "STATE", "HOLDER", "CLAIM", "NODE", "AGE")
_POOLS = (
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


def disks(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List disks."""
    found = [one for one in overview.of_all(cluster, _read(cluster)) if _fits(one, arguments)]
    form = arguments.output
    if form == "name":
        return "".join(f"{one.name}\n" for one in found)
    if form in {"json", "yaml"}:
        return document([one.document() for one in found], form)
    if not found:
        return "no disks\n"
    wide = form == "wide"
    head = (*_DISKS, "PV", "CREATED-BY", "PROBLEMS") if wide else _DISKS
    return table(head, [_row(one, wide=wide) for one in found])


def pools(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Show how full the pools are."""
    found = _read(cluster).pools
    for pool in found:
        status = pool_status(pool)
        if status != "ok":
            console.say(
                f"warning: the pool of node {pool.node} is {status}: extend it (lvextend), or "
                "delete disks and snapshots, before writes fail"
            )
    if arguments.output in {"json", "yaml"}:
        return document([_pool(pool) for pool in found], arguments.output)
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
            pool_status(pool),
        )
        for pool in found
    ]
    return table(_POOLS, rows) if rows else "no pools\n"


def _read(cluster: DiskCluster) -> Figures:
    found = figures.read(cluster.driver)
    for reason in found.silent:
        console.say(f"warning: what only a node knows is missing: {reason}")
    return found


def _fits(disk: DiskFacts, arguments: argparse.Namespace) -> bool:
    return arguments.state in {None, disk.state} and arguments.node in {None, disk.node}


def _row(disk: DiskFacts, *, wide: bool) -> tuple[str, ...]:
    row = (
        disk.name,
        short(disk.size),
        "" if disk.used is None else short(disk.used),
        disk.filesystem,
        disk.state,
        disk.holder,
        disk.claim,
        disk.node,
        age(disk.created),
    )
    return (*row, disk.volume, disk.created_by, ", ".join(disk.problems)) if wide else row


def pool_status(pool: PoolFigures) -> str:
    """Return ok, filling or full."""
    share = max(_share(pool), pool.metadata_used)
    return "full" if share >= FULL else "filling" if share >= FILLING else "ok"


def _share(pool: PoolFigures) -> float:
    return pool.used / pool.size if pool.size else 1.0


def _pool(pool: PoolFigures) -> dict[str, object]:
    return {
        "node": pool.node,
        "sizeBytes": pool.size,
        "usedBytes": pool.used,
        "metadataUsedRatio": pool.metadata_used,
        "promisedBytes": pool.promised,
        "promiseLimitBytes": pool.promise_limit,
        "disks": pool.disks,
        "snapshots": pool.snapshots,
        "status": pool_status(pool),
    }
