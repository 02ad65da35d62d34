"""Tells kubelet that the driver is there: plugin registration v1 (k8s.io/kubelet).

kubelet watches DIR/plugins_registry. When a socket appears there it asks GetInfo, calls NodeGetInfo
on the endpoint that it is told, and says with NotifyRegistrationStatus how that went. It does so
once for each socket that appears: after a failure only a new one makes it try again. When the
socket goes it takes the driver out of its CSINode, and no more than that: what is mounted stays.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from csi import DRIVER_NAME, endpoint
from csi.errors import InvalidRequest
from csi.stubs import pluginregistration_pb2, pluginregistration_pb2_grpc

log = logging.getLogger(__name__)

VERSIONS = ("1.0.0",)
"""kubelet compares the first number: all of CSI 1.x is one."""

_TYPE = "CSIPlugin"


class RegistrationService(pluginregistration_pb2_grpc.RegistrationServicer):
    """Answers kubelet, and remembers what it said."""

    def __init__(self, kubelet_dir: Path, plugin_socket: Path, refused: Callable[[], None]) -> None:
        """Make the service, to be served at its `address` once the Node service is served.

        Args:
            kubelet_dir: kubelet's --root-dir.
            plugin_socket: where the Node service is, for kubelet too: a container must see it at
                the same path as the host.
            refused: called when kubelet could not register the driver; it must start anew.

        Raises InvalidRequest when it is no such folder, or its path too long for a socket's.
        """
        self.address = _address(kubelet_dir)
        self._plugin_socket = plugin_socket
        self._refused = refused
        self._registered = threading.Event()

    def problem(self) -> str:
        """Return why kubelet does not use the driver; nothing once it does."""
        return "" if self._registered.is_set() else "kubelet has not registered the driver"

    def GetInfo(
        self, request: pluginregistration_pb2.InfoRequest, context: Any
    ) -> pluginregistration_pb2.PluginInfo:
        """Say who the driver is and where its socket is."""
        log.debug("kubelet asks who is there")
        return pluginregistration_pb2.PluginInfo(
            type=_TYPE,
            name=DRIVER_NAME,
            endpoint=str(self._plugin_socket),
            supported_versions=VERSIONS,
        )

    def NotifyRegistrationStatus(
        self, request: pluginregistration_pb2.RegistrationStatus, context: Any
    ) -> pluginregistration_pb2.RegistrationStatusResponse:
        """Take note of how the registration went."""
        if request.plugin_registered:
            log.info("kubelet has registered the driver")
            self._registered.set()
        else:
            log.error("kubelet could not register the driver: %s", request.error)
            self._registered.clear()
            self._refused()
        return pluginregistration_pb2.RegistrationStatusResponse()

    def add_to(self, server: grpc.Server) -> None:
        """Have a server serve it."""
        pluginregistration_pb2_grpc.add_RegistrationServicer_to_server(self, server)


def _address(kubelet_dir: Path) -> str:
    registry = kubelet_dir / "plugins_registry"
    address = f"unix://{registry / f'{DRIVER_NAME}-reg.sock'}"
    try:
        endpoint.parse(address)
    except InvalidRequest as error:
        raise InvalidRequest(f"--kubelet-dir {kubelet_dir}: {error}") from None
    if not registry.is_dir():
        raise InvalidRequest(
            f"--kubelet-dir {kubelet_dir}: there is no {registry}; "
            "name the --root-dir of a kubelet that has been started"
        )
    return address
