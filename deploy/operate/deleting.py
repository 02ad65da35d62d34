"""Disks that are deleted, with their data."""

import argparse
from collections.abc import Iterator
from contextlib import suppress

from controller.capacity import human
from csi.errors import NotFound, Refused
from deploy.operate import kept_copies
from deploy.operate.disk_cluster import VOLUMES, DiskCluster
from deploy.operate.running import confirmed


def delete(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Delete a disk that is nobody's, and its volume."""
    name = arguments.name
    disk = cluster.disk(name)
    require_free(cluster, name)
    size = human(int(disk["capacity_bytes"]))
    if not confirmed(f'Delete disk "{name}" ({size}) and all its data?', arguments):
        return "nothing is deleted\n"
    remove(cluster, name)
    return f'disk "{name}" deleted\n'


def require_free(cluster: DiskCluster, name: str) -> None:
    """Raise Refused if a pod holds a disk or a claim has it, and say what to do about all that."""
    obstacles = [*_obstacles(cluster, name)]
    if obstacles:
        what, todo = (" and ".join(words) for words in zip(*obstacles, strict=True))
        raise Refused(f'disk "{name}" {what}; {todo} first')


def remove(cluster: DiskCluster, name: str) -> None:
    """Delete a disk, its volume and its kept copies; raises Refused if it is somebody's by now."""
    require_free(cluster, name)
    # First: of a volume whose disk is missing, the controller could make an empty one.
    _remove_volumes(cluster, name)
    kept_copies.remove_all(cluster, name)
    # The driver itself refuses a disk that somebody holds by now.
    cluster.driver.control("DeleteVolume", volume_id=name)
    # One that the controller has made meanwhile tells of the old disk.
    _remove_volumes(cluster, name)


def _obstacles(cluster: DiskCluster, name: str) -> Iterator[tuple[str, str]]:
    """Yield what is in the way, and what to do about it."""
    lease = cluster.lease(name)
    if lease and lease.holder:
        yield f"is held by {lease.holder}", "stop that"
    for claim in filter(None, map(cluster.claim, cluster.volumes(name))):
        where = claim.reference
        words = f"kubectl delete pvc -n {where.namespace} {where.name}"
        yield f"is claimed by {where}", f"delete that claim ({words})"


def _remove_volumes(cluster: DiskCluster, disk: str) -> None:
    for volume in cluster.volumes(disk):
        with suppress(NotFound):
            cluster.api.delete(f"{VOLUMES}/{volume.name}")
