"""Disks, listed."""

import argparse
from collections.abc import Iterator

from deploy.operate import figures
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.disk_filter import Filter
from deploy.operate.disk_rows import DiskRows
from deploy.operate.disk_watch import watch
from deploy.operate.overview import DiskFacts


def disks(cluster: DiskCluster, arguments: argparse.Namespace) -> str | Iterator[str]:
    """List disks, or watch them."""
    wanted, rows = Filter.of(arguments), DiskRows(arguments.output)
    warned: set[str] = set()

    def look() -> list[tuple[DiskFacts, bool]]:
        told = figures.read(cluster.driver)
        figures.warn(reason for reason in told.silent if reason not in warned)
        warned.clear()
        warned.update(told.silent)
        return wanted.judged(cluster, told)

    if arguments.watch:
        return watch(look, rows)
    return rows.all([disk for disk, is_wanted in look() if is_wanted])
