"""Disks that are deleted, with their data."""

import argparse

from controller.capacity import human
from csi.errors import NotFound, Refused
from deploy.operate.disk_cluster import VOLUMES, DiskCluster
from deploy.operate.running import confirmed


def delete(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Delete a disk that is nobody's, and its volume."""
    name = arguments.name
    disk = cluster.disk(name)
    volumes = cluster.volumes(name)
    for volume in volumes:
        claim = cluster.claim(volume)
        if claim:
            where = claim.reference
            raise Refused(
                f'disk "{name}" is claimed by {where}; delete that claim first: '
                f"kubectl delete pvc -n {where.namespace} {where.name}"
            )
    lease = cluster.lease(name)
    if lease and lease.holder:
        raise Refused(f'disk "{name}" is held by {lease.holder}; stop that first')
    size = human(int(disk["capacity_bytes"]))
    if not confirmed(f'Delete disk "{name}" ({size}) and all its data?', arguments):
        return "nothing is deleted\n"
    # The driver itself refuses a disk that somebody holds by now.
    cluster.driver.control("DeleteVolume", volume_id=name)
    for volume in volumes:
        try:
            cluster.api.delete(f"{VOLUMES}/{volume.name}")
        except NotFound:
            continue
    return f'disk "{name}" deleted\n'
