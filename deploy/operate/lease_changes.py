"""Leases that are taken from holders which are gone."""

import argparse

from controller.lease import Lease
from csi.errors import NotFound, Refused
from deploy.operate.disk_cluster import DiskCluster


def release(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Take a disk from a holder that is gone."""
    name = arguments.name
    lease = _lease(cluster, name)
    if not lease.holder:
        return f'disk "{name}" is not held by anybody\n'
    _release_if_gone(cluster, lease)
    return f'disk "{name}" is released; {lease.holder} had it\n'


def delete(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Delete a lease's record."""
    name = arguments.name
    lease = _lease(cluster, name)
    if lease.holder:
        if not arguments.force:
            raise Refused(f'disk "{name}" is held by {lease.holder}; --force if that is gone')
        _release_if_gone(cluster, lease)
    cluster.forget(name)
    return f'the lease of disk "{name}" is deleted\n'


def _lease(cluster: DiskCluster, name: str) -> Lease:
    lease = cluster.lease(name)
    if lease is None:
        cluster.disk(name)
        raise NotFound(f'disk "{name}" never had a lease')
    return lease


def _release_if_gone(cluster: DiskCluster, lease: Lease) -> None:
    """Release through the driver; raises Refused while the holder exists or may have it mounted."""
    pod = cluster.pod(lease.holder)
    if pod and not pod.is_over:
        raise Refused(
            f'disk "{lease.disk}" is held by pod {lease.holder}, which exists; delete that first: '
            f"kubectl delete pod -n {pod.reference.namespace} {pod.reference.name}"
        )
    for attachment in cluster.attachments(lease.disk):
        raise Refused(
            f'disk "{lease.disk}" is still attached to node {lease.node} (VolumeAttachment '
            f"{attachment}): kubelet has not unmounted it yet. If that node is gone for good, tell "
            f"the cluster: kubectl taint node {lease.node} "
            "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        )
    cluster.driver.control("ControllerUnpublishVolume", volume_id=lease.disk, node_id=lease.node)
