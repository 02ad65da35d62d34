"""The CSI Identity service: who the plugin is, what it can do, whether it works."""

import logging
from collections.abc import Callable
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue

from csi import DRIVER_NAME, __version__
from csi.errors import DiskError, Refused
from csi.stubs import csi_pb2, csi_pb2_grpc

log = logging.getLogger(__name__)

_SERVICE = csi_pb2.PluginCapability.Service
SERVICES = (
    _SERVICE.CONTROLLER_SERVICE,
    _SERVICE.GROUP_CONTROLLER_SERVICE,
    _SERVICE.SNAPSHOT_METADATA_SERVICE,
    _SERVICE.VOLUME_ACCESSIBILITY_CONSTRAINTS,
    _SERVICE.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS,
)
"""Of the driver as a whole: every plugin tells all of it, whatever it serves itself (CSI spec,
GetPluginCapabilities)."""


class IdentityService(csi_pb2_grpc.IdentityServicer):
    """Identity of the controller plugin, the node plugin, or both in one process."""

    def __init__(self, check: Callable[[], None], *, waits: bool = False) -> None:
        """Make the service.

        Args:
            check: raises a DiskError when the plugin cannot work.
            waits: whether that only means that others have not started yet.
        """
        self._check = check
        self._waits = waits

    def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: Any
    ) -> csi_pb2.GetPluginInfoResponse:
        """Say name and version."""
        return csi_pb2.GetPluginInfoResponse(name=DRIVER_NAME, vendor_version=__version__)

    def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: Any
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        """List the services, and that disks grow while in use."""
        capability = csi_pb2.PluginCapability
        online = capability.VolumeExpansion(type=capability.VolumeExpansion.ONLINE)
        services = [capability(service=_SERVICE(type=kind)) for kind in SERVICES]
        return csi_pb2.GetPluginCapabilitiesResponse(
            capabilities=[*services, capability(volume_expansion=online)]
        )

    def Probe(self, request: csi_pb2.ProbeRequest, context: Any) -> csi_pb2.ProbeResponse:
        """Look whether the pool answers; an unhealthy plugin is FAILED_PRECONDITION by the spec."""
        try:
            self._check()
        except DiskError as error:
            if self._waits:
                # The sidecars end on an error, and are started again later and later.
                log.info("not ready yet: %s", error)
                return csi_pb2.ProbeResponse(ready=BoolValue(value=False))
            raise Refused(f"the pool does not work: {error}") from error
        return csi_pb2.ProbeResponse(ready=BoolValue(value=True))
