"""Disks, listed."""

import argparse

from deploy.operate import figures, overview
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.overview import DiskFacts
from deploy.operate.tables import age, document, short, table

_HEAD = ("NAME", "SIZE", "USED", "FS", "STATE", "HOLDER", "CLAIM", "NODE", "AGE")


def disks(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List disks."""
    told = figures.read_warning(cluster.driver)
    found = [one for one in overview.of_all(cluster, told) if _fits(one, arguments)]
    form = arguments.output
    if form == "name":
        return "".join(f"{one.name}\n" for one in found)
    if form in {"json", "yaml"}:
        return document([one.document() for one in found], form)
    if not found:
        return "no disks\n"
    wide = form == "wide"
    head = (*_HEAD, "PV", "CREATED-BY", "PROBLEMS") if wide else _HEAD
    return table(head, [_row(one, wide=wide) for one in found])


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
