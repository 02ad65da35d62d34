"""ValidateVolumeCapabilities: whether a disk can be used as a CO has in mind."""

from controller import parameters, volumes
from controller.creation import filesystem_of
from controller.nodes import Nodes
from controller.parameters import PROVIDER
from csi import capability, local_id
from csi.errors import InvalidRequest
from csi.stubs import csi_pb2

Request = csi_pb2.ValidateVolumeCapabilitiesRequest
Response = csi_pb2.ValidateVolumeCapabilitiesResponse


def validate(nodes: Nodes, request: Request) -> Response:
    """Confirm what the request asks, or say what is in the way.

    Raises:
        InvalidRequest: a capability lacks a required field, or the id is no local disk's.
        NotFound: there is no such disk.
    """
    for message in request.volume_capabilities:
        _require_complete(message)
    local = local_id.is_local(request.volume_id)
    obstacle = _local_obstacle(request) if local else _obstacle(nodes, request)
    if obstacle:
        return Response(message=obstacle)
    return Response(
        confirmed=Response.Confirmed(
            volume_context=request.volume_context,
            volume_capabilities=request.volume_capabilities,
            parameters=request.parameters,
            mutable_parameters=request.mutable_parameters,
        )
    )


def _require_complete(message: csi_pb2.VolumeCapability) -> None:
    if message.WhichOneof("access_type") is None or not message.access_mode.mode:
        raise InvalidRequest("a volume_capability lacks its access_type or its access_mode")


def _obstacle(nodes: Nodes, request: Request) -> str:
    disk = nodes.get(request.volume_id)
    try:
        capabilities = volumes.parse_capabilities(request.volume_capabilities)
        given = parameters.parse(request.parameters, request.mutable_parameters)
        filesystem = filesystem_of(given, capabilities)
    except InvalidRequest as error:
        return str(error)
    if filesystem not in {None, disk.filesystem}:
        return f'disk "{disk.name}" is {disk.filesystem}, not {filesystem}'
    return volumes.context_mismatch(disk, request.volume_context)


def _local_obstacle(request: Request) -> str:
    # The folder of a local disk is made when it is first used: each valid id is of one.
    local_id.parse(request.volume_id)
    try:
        for message in request.volume_capabilities:
            capability.parse(message, local=True)
    except InvalidRequest as error:
        return str(error)
    if request.volume_context.get(PROVIDER, "local") != "local":
        return f'"{request.volume_id}" is a local disk, whatever {PROVIDER} says'
    return ""
