"""`kubectl miren disk status`: everything about one disk, and what to do if something is wrong."""

import argparse
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controller.capacity import human
from controller.lease import Lease
from csi.errors import NotFound
from csi.kubernetes_api import Object
from deploy.operate import figures, lease_list, mounting, overview, snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.figures import Figures
from deploy.operate.mounting import Mount
from deploy.operate.overview import DiskFacts, DiskState
from deploy.operate.showing import pool_status
from deploy.operate.tables import age, document

_MOST_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is known about a disk."""

    disk: DiskFacts
    lease: Lease | None
    mounts: list[Mount]
    snapshots: list[Object]
    events: list[Object]
    figures: Figures


def status(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Tell everything about a disk."""
    known = _gathered(cluster, arguments.name)
    if arguments.output in {"json", "yaml"}:
        return document(_document(known), arguments.output)
    return "".join(f"{line}\n" for line in _told(known)).rstrip("\n") + "\n"


def _gathered(cluster: DiskCluster, name: str) -> Everything:
    told = figures.read(cluster.driver)
    disks = {one.name: one for one in overview.of_all(cluster, told)}
    if name not in disks:
        near = difflib.get_close_matches(name, disks, n=2, cutoff=0.75)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise NotFound(f'disk "{name}" does not exist{hint}')
    disk = disks[name]
    return Everything(
        disk=disk,
        lease=cluster.lease(name),
        mounts=[one for one in mounting.of_all(cluster) if one.disk == name],
        snapshots=snapshots.of_disk(cluster, name),
        events=_events(cluster, disk),
        figures=told,
    )


def _events(cluster: DiskCluster, disk: DiskFacts) -> list[Object]:
    """Return the latest events about its volume and its claim, the latest first."""
    paths = [("default", disk.volume)]
    if disk.claim:
        namespace, _, name = disk.claim.partition("/")
        paths.append((namespace, name))
    found = [
        event
        for namespace, name in paths
        for event in cluster.api.list(
            f"/api/v1/namespaces/{namespace}/events",
            {"fieldSelector": f"involvedObject.name={name}"},
        )
        if event["involvedObject"]["kind"].startswith("PersistentVolume")
    ]
    return sorted(found, key=_seen, reverse=True)[:_MOST_EVENTS]


def _seen(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _told(known: Everything) -> Iterator[str]:
    disk = known.disk
    yield f"Disk {disk.name}"
    yield f"  state        {disk.state}"
    used = "" if disk.used is None else f", {human(disk.used)} used in the pool"
    yield f"  size         {human(disk.size)}{used}"
    yield f"  filesystem   {disk.filesystem or 'not known'}"
    yield f"  node         {disk.node or 'not known'}"
    by = f" by {disk.created_by}" if disk.created_by else ""
    yield f"  created      {age(disk.created)} ago{by}"
    yield f"  volume       {disk.volume}"
    yield f"  claim        {disk.claim or 'none'}"
    yield from _section("Lease", lease_list.lines(known.lease) if known.lease else ["never held"])
    mounts = [
        f"{one.pod} ({one.container}) at {one.path}{', read-only' if one.read_only else ''}"
        for one in known.mounts
    ]
    yield from _section("Mounts", mounts or ["none"])
    yield from _section("Snapshots", snapshots.rows(known.snapshots).splitlines())
    events = [f"{event['reason']}: {event['message']}" for event in known.events]
    if events:
        yield from _section("Events", events)
    advice = [*_advice(known)]
    if advice:
        yield from _section("What to do", advice)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield title
    for line in lines:
        yield f"  {line}"


def _advice(known: Everything) -> Iterator[str]:
    disk, lease = known.disk, known.lease
    for reason in known.figures.silent:
        yield f"What only a node knows is missing: {reason}"
    for problem in disk.problems:
        yield f"{problem}: stop the app, then see docs/alerts.md"
    if disk.state is DiskState.PROVISIONING:
        yield "Its first pod makes it. If one waits: kubectl describe pod tells why."
    if lease and lease.holder and lease.waiting:
        waiting = lease.waiting[0].holder
        yield f"{waiting} waits for the disk, which it gets once pod {lease.holder} is gone"
    for pool in known.figures.pools:
        if pool.node == disk.node and pool_status(pool) != "ok":
            yield f"The pool of {pool.node} is {pool_status(pool)}: kubectl miren pool"


def _document(known: Everything) -> dict[str, Any]:
    return {
        **known.disk.document(),
        "lease": lease_list.facts(known.lease) if known.lease else None,
        "mounts": [one.document() for one in known.mounts],
        "snapshots": [snapshots.facts(one) for one in known.snapshots],
        "events": [
            {"time": _seen(event), "reason": event["reason"], "message": event["message"]}
            for event in known.events
        ],
        "whatToDo": [*_advice(known)],
    }
