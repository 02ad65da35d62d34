"""GetCapacity: how much more a pool can promise, and to disks of which sizes."""

from google.protobuf.wrappers_pb2 import Int64Value

from controller import parameters, sizes, volumes
from controller.creation import filesystem_of
from controller.nodes import Nodes
from controller.topology import is_within
from csi.disk import DEFAULT_FILESYSTEM
from csi.stubs import csi_pb2
from node.filesystems import MINIMUM_SIZE


def capacity(nodes: Nodes, request: csi_pb2.GetCapacityRequest) -> csi_pb2.GetCapacityResponse:
    """Return the room for disks of a kind; none is on nodes without a pool.

    Where a topology leaves the choice of nodes, it is the room of the one that has most.

    Raises InvalidRequest when no disk could be of that kind, Unavailable.
    """
    capabilities = volumes.parse_capabilities(request.volume_capabilities)
    given = parameters.parse(request.parameters, {})
    filesystem = filesystem_of(given, capabilities) or DEFAULT_FILESYSTEM
    fit = [node for node in nodes.names() if is_within(node, request.accessible_topology)]
    if not fit:
        return csi_pb2.GetCapacityResponse(available_capacity=0)
    usage = max(map(nodes.usage, fit), key=lambda usage: usage.promisable)
    mounted = any(not one.block for one in capabilities)
    smallest = MINIMUM_SIZE[filesystem] if mounted else 1
    return csi_pb2.GetCapacityResponse(
        available_capacity=usage.promisable,
        maximum_volume_size=Int64Value(value=usage.promisable),
        minimum_volume_size=Int64Value(value=sizes.round_up(smallest, usage.granularity)),
    )
