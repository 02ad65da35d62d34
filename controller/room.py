"""GetCapacity: how much more a pool can promise, and to disks of which sizes."""

from google.protobuf.wrappers_pb2 import Int64Value

from controller import parameters, sizes, volumes
from controller.creation import filesystem_of
from controller.pool import Pool
from controller.topology import Place
from csi.disk import DEFAULT_FILESYSTEM
from csi.stubs import csi_pb2
from node.filesystems import MINIMUM_SIZE


def capacity(
    pool: Pool, place: Place, request: csi_pb2.GetCapacityRequest
) -> csi_pb2.GetCapacityResponse:
    """Return the room for disks of a kind; none is on other nodes than the pool's.

    Raises InvalidRequest when no disk could be of that kind, Unavailable.
    """
    capabilities = volumes.parse_capabilities(request.volume_capabilities)
    given = parameters.parse(request.parameters, {})
    filesystem = filesystem_of(given, capabilities) or DEFAULT_FILESYSTEM
    if not place.is_within(request.accessible_topology):
        return csi_pb2.GetCapacityResponse(available_capacity=0)
    usage = pool.usage()
    mounted = any(not one.block for one in capabilities)
    smallest = MINIMUM_SIZE[filesystem] if mounted else 1
    return csi_pb2.GetCapacityResponse(
        available_capacity=usage.promisable,
        maximum_volume_size=Int64Value(value=usage.promisable),
        minimum_volume_size=Int64Value(value=sizes.round_up(smallest, usage.granularity)),
    )
