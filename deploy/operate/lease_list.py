"""Leases, shown."""

import argparse
from datetime import datetime
from typing import Any

from controller.lease import Lease
from controller.leases import utc_now
from csi.duration import format_duration
from csi.errors import NotFound
from deploy.colours import painted
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.tables import age, document, table

_HEAD = ("DISK", "STATE", "HOLDER", "NODE", "SINCE", "TRANSITIONS", "WAITING")

_WIDE = (*_HEAD, "ACQUIRED", "RENEWED", "ACCESS")


def show(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List leases."""
    found = [one for one in cluster.leases() if _fits(one, arguments)]
    if arguments.output in {"json", "yaml"}:
        return document([facts(one) for one in found], arguments.output)
    if arguments.output == "name":
        return "".join(f"{one.disk}\n" for one in found)
    if not found:
        return "no leases\n"
    if arguments.output == "wide":
        return table(_WIDE, [(*_row(one), *_more(one)) for one in found])
    return table(_HEAD, [_row(one) for one in found])


def status(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Show one lease."""
    lease = cluster.lease(arguments.name)
    if lease is None:
        cluster.known(arguments.name)
        raise NotFound(f'disk "{arguments.name}" never had a lease')
    if arguments.output in {"json", "yaml"}:
        return document(facts(lease), arguments.output)
    return "".join(f"{line}\n" for line in lines(lease))


def lines(lease: Lease) -> list[str]:
    """Tell of a lease, a line for each thing."""
    now = utc_now()
    state = lease.state(now)
    said = [f"state        {painted(state)}"]
    if lease.holder:
        said.append(
            f"holder       {lease.holder} on {lease.node}, since {_ago(lease.acquire_time)}"
        )
        said.append(f"renewed      {_ago(lease.renew_time)}")
    elif lease.acquire_time:
        said.append(f"last held    acquired {_ago(lease.acquire_time)}")
        said.append(f"released     {_ago(lease.renew_time)}")
    said.append(f"transitions  {lease.transitions}")
    for one in lease.waiting:
        limit = format_duration(one.timeout)
        said.append(f"waiting      {one.holder}, since {_ago(one.since)}, up to {limit}")
    return said


def facts(lease: Lease) -> dict[str, Any]:
    """Return a lease as `-o json` shows it."""
    now = utc_now()
    return {
        "disk": lease.disk,
        "state": str(lease.state(now)),
        "holder": lease.holder or None,
        "node": lease.node or None,
        "acquireTime": _stamp(lease.acquire_time),
        "renewTime": _stamp(lease.renew_time),
        "transitions": lease.transitions,
        "waiting": [
            {
                "holder": one.holder,
                "since": _stamp(one.since),
                "timeoutSeconds": one.timeout,
                "state": str(one.state(now)),
            }
            for one in lease.waiting
        ],
    }


def _fits(lease: Lease, arguments: argparse.Namespace) -> bool:
    waiting = {one.holder for one in lease.waiting}
    who = arguments.sandbox
    return (
        arguments.disk in {None, lease.disk}
        and arguments.status in {None, lease.state(utc_now())}
        and (who is None or any(_is(who, holder) for holder in {lease.holder, *waiting}))
    )


def _is(who: str, holder: str) -> bool:
    """Tell whether a holder is the pod that is named with or without its namespace."""
    return who in {holder, holder.partition("/")[2]}


def _row(lease: Lease) -> tuple[str, ...]:
    since = lease.acquire_time if lease.holder else lease.renew_time
    waiting = ", ".join(one.holder for one in lease.waiting)
    count = str(lease.transitions)
    state = str(lease.state(utc_now()))
    node = lease.node if lease.holder else ""
    return (lease.disk, state, lease.holder, node, age(since) if since else "", count, waiting)


def _more(lease: Lease) -> tuple[str, ...]:
    manner = ("read-only" if lease.read_only else "read-write") + (
        ", shared" if lease.shared else ""
    )
    acquired, renewed = _stamp(lease.acquire_time) or "", _stamp(lease.renew_time) or ""
    return (acquired, renewed, manner if lease.holder else "")


def _ago(time: datetime | None) -> str:
    return f"{age(time)} ago ({_stamp(time)})" if time else "ever"


def _stamp(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z") if time else None
