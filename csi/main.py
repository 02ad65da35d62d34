"""The `miren-csi` command: puts the parts together and serves until it is told to stop."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from csi import logs, options
from csi.calls import CallGuard
from csi.errors import DiskError, InvalidRequest
from csi.identity import IdentityService
from csi.serial import Turnstile
from csi.server import Register, Server
from csi.stubs import csi_pb2_grpc

if TYPE_CHECKING:
    from controller.leases import Leases
    from controller.pool import Pool

log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the driver; returns 0 after a stop, 2 when it cannot start as asked."""
    chosen = options.parse(sys.argv[1:] if argv is None else argv, os.environ)
    logs.set_up(chosen.log_level, chosen.log_format)
    try:
        serve(chosen)
    except DiskError as error:
        sys.stderr.write(f"miren-csi: {error}\n")
        return 2
    return 0


def serve(chosen: options.Options) -> None:
    """Serve until SIGTERM or SIGINT; raises DiskError when the driver cannot start."""
    stop = _stop_event()
    with ExitStack() as stack:
        pool = open_pool(chosen.pool, chosen.overcommit)
        stack.callback(pool.close)
        pool.recover()
        for server in _servers(chosen, pool):
            stack.enter_context(_running(server))
        # Python handles signals in this thread only, and another may have been interrupted by it.
        while not stop.wait(1.0):
            pass
        log.info("stopping: running calls may finish")


def _stop_event() -> threading.Event:
    """Return an event that the first signal to stop sets; more of them change nothing."""
    stop = threading.Event()

    def handle(*_: object) -> None:
        # First of all: Event.set must not be interrupted by another one, and Python would restore
        # the deadly default when it winds up.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stop.set()

    for number in _STOP_SIGNALS:
        signal.signal(number, handle)
    return stop


@contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


def _servers(chosen: options.Options, pool: "Pool") -> list[Server]:
    guard = CallGuard(Turnstile())
    services: dict[str, list[Register]] = {}
    if chosen.controls:
        services[chosen.endpoint] = _controller_services(chosen, pool)
    if chosen.is_node:
        services.setdefault(chosen.node_endpoint, []).append(_node_service(chosen, pool))
    servers = []
    for address, registers in services.items():
        controls = chosen.controls and address == chosen.endpoint
        registers.append(_identity_service(pool.check, controller=controls))
        servers.append(Server(address, registers, guard))
    return servers


def _identity_service(check: Callable[[], None], *, controller: bool) -> Register:
    service = IdentityService(check, controller=controller)
    return lambda server: csi_pb2_grpc.add_IdentityServicer_to_server(service, server)


def _controller_services(chosen: options.Options, pool: "Pool") -> list[Register]:
    from controller.groups import GroupControllerService
    from controller.metadata import SnapshotMetadataService
    from controller.service import ControllerService

    leases = open_leases(chosen.leases)
    control = ControllerService(pool, leases, chosen.node_id, chosen.max_volumes)
    groups = GroupControllerService(pool, chosen.node_id)
    metadata = SnapshotMetadataService(pool)
    return [
        lambda server: csi_pb2_grpc.add_ControllerServicer_to_server(control, server),
        lambda server: csi_pb2_grpc.add_GroupControllerServicer_to_server(groups, server),
        lambda server: csi_pb2_grpc.add_SnapshotMetadataServicer_to_server(metadata, server),
    ]


def _node_service(chosen: options.Options, pool: "Pool") -> Register:
    from node.local_disks import LocalDisks
    from node.service import NodeService

    local = LocalDisks(chosen.local_root)
    service = NodeService(chosen.node_id, pool, local, chosen.max_volumes)
    return lambda server: csi_pb2_grpc.add_NodeServicer_to_server(service, server)


def open_pool(spec: str, overcommit: float) -> "Pool":
    """Open the pool that `lvm:VG/THINPOOL` or `loop:DIR` names.

    Raises InvalidRequest when the words are wrong or there is no such pool, Unavailable when it
    cannot be reached now.
    """
    kind, _, place = spec.partition(":")
    if kind == "lvm" and place:
        from controller.lvm_pool import LvmPool

        return LvmPool(place, overcommit)
    if kind == "loop" and place.startswith("/"):
        from pathlib import Path

        from controller.loop_pool import LoopPool

        return LoopPool(Path(place), overcommit)
    raise InvalidRequest(f"--pool must be lvm:VG/THINPOOL or loop:/DIR, not {spec!r}")


def open_leases(spec: str) -> "Leases":
    """Open the lease store that `file:PATH` or `kubernetes` names.

    Raises InvalidRequest when it is neither, or cannot be used.
    """
    from controller.leases import Leases

    kind, _, place = spec.partition(":")
    if spec == "kubernetes":
        from controller.kubernetes_api import KubernetesApi
        from controller.lease_objects import LeaseObjects

        return Leases(LeaseObjects(KubernetesApi(), KubernetesApi.own_namespace()))
    if kind == "file" and place.startswith("/"):
        from pathlib import Path

        from controller.lease_file import LeaseFile

        return Leases(LeaseFile(Path(place)))
    raise InvalidRequest(f"--leases must be file:/PATH or kubernetes, not {spec!r}")


if __name__ == "__main__":
    sys.exit(main())
