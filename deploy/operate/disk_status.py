"""`kubectl miren disk status`: everything about one disk, and what to do if something is wrong."""

import argparse
from collections.abc import Iterator
from typing import Any

from controller.capacity import human
from deploy.colours import painted
from deploy.operate import disk_advice, disk_details, lease_list, snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.disk_details import DiskDetails
from deploy.operate.tables import age, document

_LEAST = 0.001
"""The smallest share that is told."""


def status(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Tell everything about a disk."""
    known = disk_details.gather(cluster, arguments.name)
    if arguments.output in {"json", "yaml"}:
        return document(_document(known), arguments.output)
    return "".join(f"{line}\n" for line in _told(known)).rstrip("\n") + "\n"


def _told(known: DiskDetails) -> Iterator[str]:
    yield f"Disk {known.disk.name}"
    yield from _about(known)
    yield from _section("Lease", lease_list.lines(known.lease) if known.lease else ["never held"])
    yield from _section("Mounts", [*_mounts(known)] or ["none"])
    told = "not known" if known.snapshots is None else snapshots.rows(known.snapshots)
    yield from _section("Snapshots", told.splitlines())
    for title, lines in (
        ("Events", [event.line() for event in known.events]),
        ("What to do", [*disk_advice.of(known)]),
    ):
        if lines:
            yield from _section(title, lines)


def _about(known: DiskDetails) -> Iterator[str]:
    disk, node = known.disk, known.node
    yield f"  state        {painted(disk.state)}"
    yield from (f"  condition    {line}" for line in _condition(known))
    used = "" if disk.used is None else f", {human(disk.used)} used in the pool"
    yield f"  size         {human(disk.size)}{used}"
    yield f"  filesystem   {disk.filesystem or 'not known'}{_free(known)}"
    yield f"  node         {disk.node or 'not known'}"
    if node.place:
        yield f"  kept in      {node.place}"
    if known.pool and known.pool.size and disk.used is not None:
        share = disk.used / known.pool.size
        told = f"{share:.1%}" if share >= _LEAST else f"less than {_LEAST:.1%}"
        yield f"  pool share   {told} of the pool's {human(known.pool.size)}"
    by = f" by {disk.created_by}" if disk.created_by else ""
    yield f"  created      {age(disk.created)} ago{by}"
    yield f"  volume       {disk.volume}"
    yield f"  claim        {disk.claim or 'none'}"
    yield f"  last backup  {disk.last_backup or 'none'}"


def _condition(known: DiskDetails) -> Iterator[str]:
    for problem in known.problems:
        yield f"{problem.reason}: {problem.message}" if problem.message else problem.reason
    if not known.problems and known.node.device:
        yield painted("healthy")


def _free(known: DiskDetails) -> str:
    full, available = known.node.full, known.node.available
    return (
        "" if full is None or available is None else (f", {full:.0%} full, {human(available)} free")
    )


def _mounts(known: DiskDetails) -> Iterator[str]:
    for one in known.mounts:
        access = ", read-only" if one.read_only else ""
        yield f"{one.pod} ({one.container}) at {one.path}{access}"
    ways = dict.fromkeys((one.filesystem, one.all_options) for one in known.node.mounts)
    for filesystem, options in ways:
        yield f"on the node: {filesystem}, {options}"
    if known.node.device:
        yield f"device: {known.node.device}"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in lines:
        yield f"  {line}"


def _document(known: DiskDetails) -> dict[str, Any]:
    disk, node, pool = known.disk, known.node, known.pool
    share = disk.used / pool.size if pool and pool.size and disk.used is not None else None
    return {
        **disk.document(),
        "place": node.place or None,
        "device": node.device or None,
        "poolShare": share,
        "filesystemBytes": node.total,
        "filesystemFreeBytes": node.available,
        "conditions": [
            {"reason": one.reason, "message": one.message or None} for one in known.problems
        ],
        "lease": lease_list.facts(known.lease) if known.lease else None,
        "mounts": [one.document() for one in known.mounts],
        "nodeMounts": [
            {"path": one.path, "filesystem": one.filesystem, "options": one.all_options}
            for one in node.mounts
        ],
        "snapshots": None
        if known.snapshots is None
        else [snapshots.facts(one) for one in known.snapshots],
        "events": [event.document() for event in known.events],
        "whatToDo": [*disk_advice.of(known)],
    }
