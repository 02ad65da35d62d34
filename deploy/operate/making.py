"""New disks: empty ones, and copies of disks and snapshots."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from controller.capacity import human
from csi import COORDINATOR_LABEL, TOPOLOGY_KEY
from csi.errors import Incompatible
from csi.kubernetes_api import Conflict, Object
from csi.persistent_volume import COORDINATOR, Pin, unclaimed
from csi.wish import CREATED_BY, FILESYSTEM
from deploy.operate.disk_cluster import VOLUMES, DiskCluster

_WRITER = "SINGLE_NODE_SINGLE_WRITER"


def create(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Make an empty disk."""
    node = arguments.node or cluster.coordinator()
    segments = {TOPOLOGY_KEY: node}
    parameters = {FILESYSTEM: arguments.filesystem}
    if arguments.created_by:
        parameters[CREATED_BY] = arguments.created_by
    made = make(
        cluster,
        arguments.name,
        capacity_range={"required_bytes": arguments.size},
        parameters=parameters,
        accessibility_requirements={"requisite": [{"segments": segments}]},
    )
    return f"{made} created\n"


def clone(cluster: DiskCluster, arguments: argparse.Namespace) -> str:
    """Copy a disk."""
    cluster.disk(arguments.name)
    source = {"volume": {"volume_id": arguments.name}}
    block = any(volume.is_block for volume in cluster.volumes(arguments.name))
    made = copy(cluster, arguments.new, source, arguments.size, block=block)
    return f'{made} created, a copy of disk "{arguments.name}"\n'


def copy(
    cluster: DiskCluster,
    name: str,
    source: Mapping[str, Any],
    wanted: int | None,
    *,
    block: bool = False,
) -> str:
    """Make a copy of a VolumeContentSource; returns it as part of a sentence."""
    room = {"capacity_range": {"required_bytes": wanted}} if wanted else {}
    return make(cluster, name, block=block, volume_content_source=source, **room)


def make(cluster: DiskCluster, name: str, *, block: bool = False, **request: Any) -> str:
    """Make a disk and its PersistentVolume; returns it as part of a sentence.

    Raises Incompatible when there is a disk of that name.
    """
    if cluster.exists(name):
        raise Incompatible(f'disk "{name}" exists already; choose another name')
    capabilities = [{"block" if block else "mount": {}, "access_mode": {"mode": _WRITER}}]
    answer = cluster.driver.control(
        "CreateVolume", name=name, volume_capabilities=capabilities, **request
    )
    return _shown(cluster, answer["volume"], block=block)


def _shown(cluster: DiskCluster, disk: Object, *, block: bool) -> str:
    """Make the PersistentVolume, which the controller would make half a minute later."""
    bytes_, context = int(disk["capacity_bytes"]), dict(disk.get("volume_context") or {})
    node = disk["accessible_topology"][0]["segments"][TOPOLOGY_KEY]
    volume = unclaimed(
        disk["volume_id"],
        str(bytes_),
        cluster.namespace,
        pin=COORDINATOR if _is_coordinator(cluster, node) else Pin.to_node(node),
        wish=context,
        volume_mode="Block" if block else "Filesystem",
    )
    with suppress(Conflict):  # the controller was quicker
        cluster.api.create(VOLUMES, volume.manifest())
    about = f"{human(bytes_)}, {'block' if block else context[FILESYSTEM]}, on {node}"
    return f'disk "{disk["volume_id"]}" ({about}; PersistentVolume {volume.name})'


def _is_coordinator(cluster: DiskCluster, node: str) -> bool:
    labels = cluster.api.get(f"/api/v1/nodes/{node}")["metadata"].get("labels") or {}
    return bool(labels.get(COORDINATOR_LABEL) == "true")
