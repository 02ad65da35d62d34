"""Disks that grow, in use or not."""

import argparse
import time

from controller import workloads
from controller.capacity import human
from controller.workloads import Volume, VolumeClaim
from csi.errors import InvalidRequest, Unavailable
from deploy.operate.disk_cluster import DiskCluster, claim_path

_EVERY = 1.0


def resize(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Grow a disk."""
    name, wanted = arguments.name, arguments.size
    has = int(cluster.disk(name)["capacity_bytes"])
    if wanted < has:
        raise InvalidRequest(
            f'disk "{name}" has {human(has)} and never shrinks; to have a smaller one, make it and '
            "copy the data"
        )
    for volume in cluster.volumes(name):
        claim = cluster.claim(volume)
        if claim and workloads.claim_uid(volume.disk):
            return _by_claim(cluster, claim, arguments)
    cluster.driver.control(
        "ControllerExpandVolume", volume_id=name, capacity_range={"required_bytes": wanted}
    )
    grown = [_grow_filesystem(cluster, volume) for volume in cluster.volumes(name)]
    later = "" if all(grown) else "; its filesystem grows when it is mounted next"
    return f'disk "{name}" has {_size_of(cluster, name)}{later}\n'


def _grow_filesystem(cluster: DiskCluster, volume: Volume) -> bool:
    """Let a filesystem that is mounted grow now; tell whether none is left to grow later.

    Not by way of the claim: app.toml's claims ask for a nominal size, for ever.
    """
    if volume.is_block:
        return True
    lease = cluster.lease(volume.disk)
    pod = cluster.pod(lease.holder) if lease and lease.holder else None
    if lease and pod and not pod.is_over:
        cluster.driver.expand_on_node(volume.disk, volume.name, lease.node, pod.reference.uid)
        return True
    return False


def _by_claim(cluster: DiskCluster, claim: VolumeClaim, arguments: argparse.Namespace) -> str:
    """Have the cluster do it, whose claim would else tell of another size for ever."""
    path = claim_path(claim.reference)
    requests = {"storage": str(arguments.size)}
    cluster.api.patch(path, {"spec": {"resources": {"requests": requests}}})
    deadline = time.monotonic() + arguments.timeout
    while int(cluster.disk(arguments.name)["capacity_bytes"]) < arguments.size:
        if time.monotonic() > deadline:
            raise Unavailable(
                f'disk "{arguments.name}" has not grown after {arguments.timeout:g} s; see '
                f"kubectl describe pvc -n {claim.reference.namespace} {claim.reference.name}"
            )
        time.sleep(_EVERY)
    has = _size_of(cluster, arguments.name)
    return f'disk "{arguments.name}" has {has}; a filesystem in use grows within two minutes\n'


def _size_of(cluster: DiskCluster, name: str) -> str:
    return human(int(cluster.disk(name)["capacity_bytes"]))
