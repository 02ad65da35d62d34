"""Snapshots of disks, cut by the driver itself: they need no CRDs and belong to no namespace."""

import argparse
from collections.abc import Sequence
from datetime import datetime

from csi.errors import Incompatible, InvalidRequest, NotFound, Refused
from csi.kubernetes_api import Object
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.driver import CallFailed
from deploy.operate.making import copy
from deploy.operate.running import confirmed
from deploy.operate.tables import age, document, short, table

KEPT = "backup-copy-"
"""How the names of copies begin that backups keep of raw devices, and no others."""


def create(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Cut a snapshot."""
    name = arguments.name
    if name.startswith(KEPT):
        raise InvalidRequest(
            f'snapshots named "{KEPT}…" belong to disk backup --changed-blocks, which deletes them;'
            " choose another name"
        )
    if _found(cluster, name):
        raise Incompatible(f'snapshot "{name}" exists already; choose another name')
    cluster.disk(arguments.disk)
    answer = cluster.driver.control("CreateSnapshot", source_volume_id=arguments.disk, name=name)
    made = answer["snapshot"]["creation_time"]
    return f'snapshot "{name}" of disk "{arguments.disk}" cut at {made}\n'


def show(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """List snapshots."""
    if arguments.disk:
        cluster.disk(arguments.disk)
    found = of_disk(cluster, arguments.disk)
    if arguments.output in {"json", "yaml"}:
        return document([facts(one) for one in found], arguments.output)
    if arguments.output == "name":
        return "".join(f"{one['snapshot_id']}\n" for one in found)
    return rows(found)


def of_disk(cluster: DiskCluster, disk: str | None) -> list[Object]:
    """Return the snapshots of a disk, or all, in the words of CSI."""
    of = {"source_volume_id": disk} if disk else {}
    answer = cluster.driver.control("ListSnapshots", **of)
    return [entry["snapshot"] for entry in answer.get("entries") or []]


def rows(found: Sequence[Object]) -> str:
    """Return snapshots as a table."""
    if not found:
        return "no snapshots\n"
    cells = [
        (
            one["snapshot_id"],
            one["source_volume_id"],
            short(int(one["size_bytes"])),
            age(datetime.fromisoformat(one["creation_time"])),
        )
        for one in found
    ]
    return table(("NAME", "DISK", "SIZE", "AGE"), cells)


def find(cluster: DiskCluster, name: str, disk: str) -> Object:
    """Return a disk's snapshot, in the words of CSI; raises NotFound, Refused."""
    found = _required(cluster, name)
    if found["source_volume_id"] != disk:
        raise Refused(
            f'snapshot "{name}" is of disk "{found["source_volume_id"]}", not of "{disk}": '
            f"kubectl miren disk snapshot list {disk}"
        )
    return found


def restore(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Make a disk from a snapshot."""
    name = arguments.name
    _required(cluster, name)
    source = {"snapshot": {"snapshot_id": name}}
    made = copy(cluster, arguments.new, source, arguments.size, block=arguments.block)
    return f'{made} created from snapshot "{name}"\n'


def delete(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Delete a snapshot."""
    name = arguments.name
    found = _required(cluster, name)
    of = f'snapshot "{name}" of disk "{found["source_volume_id"]}"'
    if not confirmed(f"Delete {of}, cut at {found['creation_time']}?", arguments):
        return "nothing is deleted\n"
    cluster.driver.control("DeleteSnapshot", snapshot_id=name)
    return f"{of} deleted\n"


def _required(cluster: DiskCluster, name: str) -> Object:
    found = _found(cluster, name)
    if not found:
        raise NotFound(f'snapshot "{name}" does not exist; kubectl miren disk snapshot list')
    return found


def _found(cluster: DiskCluster, name: str) -> Object | None:
    try:
        return dict(cluster.driver.control("GetSnapshot", snapshot_id=name)["snapshot"])
    except CallFailed as error:
        if error.code == "NOT_FOUND":
            return None
        raise


def facts(snapshot: Object) -> Object:
    """Return a snapshot as `-o json` shows it."""
    return {
        "name": snapshot["snapshot_id"],
        "disk": snapshot["source_volume_id"],
        "sizeBytes": int(snapshot["size_bytes"]),
        "created": snapshot["creation_time"],
        "ready": bool(snapshot.get("ready_to_use")),
    }
