"""`kubectl miren disk status`: everything about one disk, and what to do if something is wrong."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controller.capacity import human
from controller.holders import NODE
from controller.lease import Lease
from controller.workloads import Pod
from csi.errors import DiskError
from csi.fullness import Fullness
from csi.kubernetes_api import Object
from deploy.app_cluster import seen
from deploy.colours import painted
from deploy.operate import figures, lease_list, mounting, overview, pools, snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.disk_state import DiskState
from deploy.operate.figures import Figures
from deploy.operate.mounting import Mount
from deploy.operate.overview import DiskFacts
from deploy.operate.tables import age, document

_MOST_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Everything:
    """All that is known about a disk."""

    disk: DiskFacts
    lease: Lease | None
    holder: Pod | None
    """The pod that holds it, as far as it exists."""
    mounts: list[Mount]
    snapshots: list[Object] | None
    """None when the driver could not be asked."""
    events: list[Object]
    figures: Figures
    missing: Sequence[str]
    """What could not be had, and why."""


def status(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Tell everything about a disk."""
    known = _gathered(cluster, arguments.name)
    if arguments.output in {"json", "yaml"}:
        return document(_document(known), arguments.output)
    return "".join(f"{line}\n" for line in _told(known)).rstrip("\n") + "\n"


def _gathered(cluster: DiskCluster, name: str) -> Everything:
    cluster.known(name)
    told = figures.read(cluster.driver)
    (disk, *_) = (one for one in overview.of_all(cluster, told) if one.name == name)
    lease = cluster.lease(name)
    try:
        found, missing = snapshots.of_disk(cluster, name), told.silent
    except DiskError as error:
        found, missing = None, (*told.silent, f"its snapshots: {error}")
    return Everything(
        disk=disk,
        lease=lease,
        holder=cluster.pod(lease.holder) if lease and lease.holder else None,
        mounts=[one for one in mounting.of_all(cluster) if one.disk == name],
        snapshots=found,
        events=_events(cluster, disk),
        figures=told,
        missing=missing,
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
    return sorted(found, key=seen, reverse=True)[:_MOST_EVENTS]


def _told(known: Everything) -> Iterator[str]:
    disk = known.disk
    yield f"Disk {disk.name}"
    yield f"  state        {painted(disk.state)}"
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
    told = "not known" if known.snapshots is None else snapshots.rows(known.snapshots)
    yield from _section("Snapshots", told.splitlines())
    events = [f"{event.get('reason', '')}: {event.get('message', '')}" for event in known.events]
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
    for reason in known.missing:
        yield f"Not all could be found out: {reason}"
    for problem in disk.problems:
        yield f"{problem}: stop the app, then see docs/alerts.md"
    if disk.state is DiskState.PROVISIONING:
        yield "Its first pod makes it. If one waits: kubectl describe pod tells why."
    if lease and lease.holder:
        yield from _of_holder(lease, known.holder)
    for pool in known.figures.pools:
        if pool.node == disk.node and pools.status_of(pool) is not Fullness.OK:
            yield f"The pool of {pool.node} is {pools.status_of(pool)}: kubectl miren pool"


def _of_holder(lease: Lease, pod: Pod | None) -> Iterator[str]:
    is_pod = not lease.holder.startswith(NODE)
    if is_pod and (pod is None or pod.is_over):
        yield (
            f"Pod {lease.holder} is gone: the disk is released once node {lease.node} has "
            f"unmounted it. If that does not come: kubectl miren disk lease release {lease.disk}"
        )
    elif lease.waiting:
        waiting = lease.waiting[0].holder
        yield f"{waiting} waits for the disk, which it gets once {lease.holder} is gone"


def _document(known: Everything) -> dict[str, Any]:
    return {
        **known.disk.document(),
        "lease": lease_list.facts(known.lease) if known.lease else None,
        "mounts": [one.document() for one in known.mounts],
        "snapshots": None
        if known.snapshots is None
        else [snapshots.facts(one) for one in known.snapshots],
        "events": [
            {"time": seen(event), "reason": event.get("reason"), "message": event.get("message")}
            for event in known.events
        ],
        "whatToDo": [*_advice(known)],
    }
