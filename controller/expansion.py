"""ControllerExpandVolume: growing a disk, in use or not."""

from controller.nodes import Nodes
from controller.sizes import Granularity, SizeRange, round_up
from csi import capability, local_id
from csi.disk import Disk
from csi.errors import InvalidRequest, OutOfRange
from csi.stubs import csi_pb2


def expand(
    nodes: Nodes, granularity: Granularity, request: csi_pb2.ControllerExpandVolumeRequest
) -> csi_pb2.ControllerExpandVolumeResponse:
    """Grow a disk to the size asked for; one that is big enough stays as it is.

    Raises:
        InvalidRequest: the volume has no size, or the request says none.
        NotFound: there is no such disk.
        OutOfRange: the disk is, or would be, larger than the limit.
        PoolFull: no room.
    """
    name = request.volume_id
    if local_id.is_local(name):
        raise InvalidRequest(f'the local disk "{name}" has no size: it is a folder')
    wanted = SizeRange.of(request.capacity_range)
    if wanted == SizeRange():
        raise InvalidRequest("capacity_range has neither required_bytes nor limit_bytes")
    has_use = request.HasField("volume_capability")
    use = capability.parse(request.volume_capability) if has_use else None
    disk = _expanded(nodes, granularity, name, wanted)
    return csi_pb2.ControllerExpandVolumeResponse(
        capacity_bytes=disk.size,
        # Without a word on its use it may have a filesystem, which then has to grow too.
        node_expansion_required=not (use and use.block),
    )


def _expanded(nodes: Nodes, granularity: Granularity, name: str, wanted: SizeRange) -> Disk:
    if not wanted.limit:
        return nodes.expand(name, wanted.required)
    step = granularity()
    if round_up(wanted.required, step) <= wanted.limit:
        disk = nodes.expand(name, wanted.required)
    else:
        disk = nodes.get(name)
        if disk.size < wanted.required:
            raise OutOfRange(
                f'disk "{name}" cannot have {wanted}: sizes are multiples of {step} bytes'
            )
    if disk.size > wanted.limit:
        raise OutOfRange(
            f'disk "{name}" has {disk.size} bytes already, and disks do not shrink '
            f"to a limit_bytes of {wanted.limit}"
        )
    return disk
