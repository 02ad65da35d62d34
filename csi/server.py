"""A gRPC server on a unix socket, from bind to drained stop."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc

from csi import endpoint
from csi.calls import CallGuard
from csi.errors import Unavailable

log = logging.getLogger(__name__)

WORKERS = 64
"""Calls that run at once; more wait in the queue."""

GRACE = 60.0
"""Seconds that running calls get to finish at a stop; mkfs of a large disk is the slowest."""

SOCKET_MODE = 0o660

Register = Callable[[grpc.Server], None]


class Server:
    """Serves some CSI services on one socket."""

    def __init__(self, address: str, services: Sequence[Register], guard: CallGuard) -> None:
        """Bind the socket; nothing is answered before `start`.

        Args:
            address: `unix:///PATH`.
            services: each adds one servicer to the server.
            guard: wraps every call.

        Raises:
            InvalidRequest: the address is malformed or its folder cannot be written.
            Refused: another driver serves it.
            Unavailable: the bind failed otherwise.
        """
        self.address = address
        self._claim = endpoint.SocketClaim(endpoint.parse(address))
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="call")
        self._server = grpc.server(self._executor, interceptors=[guard])
        for register in services:
            register(self._server)
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            self._claim.release()
            raise Unavailable(f"cannot listen on {address}: {error}") from error

    def start(self) -> None:
        """Begin to answer calls."""
        # The folder's group (a pod's fsGroup) may connect: sidecars need not be root.
        self._claim.path.chmod(SOCKET_MODE)
        self._server.start()
        log.info("serving %s", self.address)

    def stop(self) -> None:
        """Refuse new calls, let running ones finish, remove the socket."""
        self._server.stop(GRACE).wait()
        self._executor.shutdown()
        self._claim.release()
        log.info("stopped serving %s", self.address)
