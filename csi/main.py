"""The `miren-csi` command: puts the parts together and serves until it is told to stop."""

import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from csi import call_words, calls, endpoint, key_pair, logs, options
from csi.calls import CallGuard
from csi.errors import DiskError
from csi.identity import IdentityService
from csi.opening import Parts, Record, open_parts
from csi.rounds import Rounds
from csi.serial import Turnstile
from csi.server import Register, Server
from csi.stubs import csi_pb2_grpc

if TYPE_CHECKING:
    from controller.nodes import Nodes
    from controller.pool import HostPool
    from csi.http_server import Page, Pages
    from csi.metrics import Metrics
    from node.registration import RegistrationService
    from node.scratch import ScratchVolumes

log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Part(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the driver, or call one that runs.

    Returns 0 after a stop, 1 when it must be started anew, 2 when it cannot start as asked.
    """
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == [call_words.COMMAND]:
        # What turns JSON into messages is a quarter of what a driver would have to load.
        from csi import calling

        return calling.main(words[1:])
    chosen = options.parse(words, os.environ)
    logs.set_up(chosen.log_level, chosen.log_format)
    try:
        return serve(chosen)
    except DiskError as error:
        sys.stderr.write(f"miren-csi: {error}\n")
        return 2


def serve(chosen: options.Options) -> int:
    """Serve until SIGTERM or SIGINT, or until kubelet refuses the driver; returns 0 or 1.

    On SIGUSR1 it writes to stderr where each of its threads is.

    Raises DiskError when the driver cannot start.
    """
    faulthandler.register(signal.SIGUSR1)
    stop, refused = _stop_event(), threading.Event()
    registration = _registration(chosen, refused, stop)
    metrics = _metrics(chosen)
    turnstile = Turnstile()
    guard = CallGuard(turnstile, metrics.observe_call if metrics else calls.ignore)
    with ExitStack() as stack:
        parts = open_parts(chosen, stack, metrics)
        telling = _http_parts(chosen, metrics, registration, parts)
        if parts.pool and (chosen.controls or chosen.pool_endpoint):
            # Whoever cuts snapshots may have been killed in the middle of it.
            parts.pool.recover()
        for server in _servers(chosen, guard, parts):
            stack.enter_context(_running(server))
        for part in _care(chosen, parts, turnstile):
            stack.enter_context(_running(part))
        if registration:
            # Not earlier: kubelet calls the Node service as soon as it sees the socket.
            server = Server(registration.address, [registration.add_to], guard)
            stack.enter_context(_running(server))
        for part in telling:
            stack.enter_context(_running(part))
        # Python handles signals in this thread only, and another may have been interrupted by it.
        while not stop.wait(1.0):
            pass
        log.info("stopping: running calls may finish")
    return 1 if refused.is_set() else 0


def _care(chosen: options.Options, parts: Parts, turnstile: Turnstile) -> Iterator[_Part]:
    """Yield what is done without being asked for."""
    if parts.record and parts.record.upkeep:
        yield parts.record.upkeep
    if chosen.kubelet_dir and parts.pool:
        from node import scratch_care

        volumes = _scratch_volumes(chosen, parts.pool)
        care = scratch_care.ScratchCare(parts.pool, volumes, chosen.kubelet_dir, turnstile)
        yield Rounds("care for scratch volumes", care.look, scratch_care.EVERY)


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
def _running(part: _Part) -> Iterator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()


def _registration(
    chosen: options.Options, refused: threading.Event, stop: threading.Event
) -> "RegistrationService | None":
    if chosen.kubelet_dir is None:
        return None
    from node.registration import RegistrationService

    def start_anew() -> None:
        refused.set()
        stop.set()

    plugin_socket = endpoint.parse(chosen.node_endpoint)
    return RegistrationService(chosen.kubelet_dir, plugin_socket, start_anew)


def _metrics(chosen: options.Options) -> "Metrics | None":
    if chosen.http_endpoint is None:
        return None
    from csi.metrics import Metrics

    return Metrics()


def _register(metrics: "Metrics", parts: Parts) -> None:
    if parts.record:
        from controller.lease_metrics import LeaderMetrics, LeaseMetrics

        metrics.registry.register(LeaseMetrics(parts.record.leases))
        upkeep = parts.record.upkeep
        if upkeep:
            metrics.registry.register(LeaderMetrics(lambda: upkeep.is_leader))


def _look_after(pool: "HostPool", metrics: "Metrics", node: str) -> "tuple[Rounds, Pages]":
    """Tell of this host's pool: returns what looks at it from time to time, and its pages."""
    from controller.disk_page import DiskPage
    from controller.pool_growth import EVERY, PoolGrowth
    from controller.pool_looks import PoolLooks
    from controller.pool_metrics import PoolMetrics

    looks = PoolLooks(pool)
    growth = PoolGrowth(pool)
    metrics.registry.register(PoolMetrics(looks, growth, node))
    return Rounds("growth of the pool", growth.look, EVERY), {"/disks": DiskPage(looks).page}


def _http_parts(
    chosen: options.Options,
    metrics: "Metrics | None",
    registration: "RegistrationService | None",
    parts: Parts,
) -> list[_Part]:
    if chosen.http_endpoint is None or metrics is None:
        return []
    from csi import http_health
    from csi.http_server import HttpServer

    _register(metrics, parts)
    found: list[_Part] = []
    pages: dict[str, Callable[[], Page]] = {}
    if parts.pool:
        growth, of_disks = _look_after(parts.pool, metrics, chosen.node_id)
        found.append(growth)
        pages |= of_disks
    sockets = [chosen.endpoint] if chosen.controls else []
    if chosen.is_node and chosen.node_endpoint not in sockets:
        sockets.append(chosen.node_endpoint)
    serves = [http_health.serving(address) for address in sockets]
    able = [http_health.able(address) for address in sockets]
    if registration:
        serves.append(http_health.registering(registration.address))
        able.append(registration.problem)
    pages |= {
        "/metrics": metrics.page,
        "/healthz": lambda: http_health.page(serves),
        "/readyz": lambda: http_health.page(able),
    }
    return [*found, HttpServer(chosen.http_endpoint, pages)]


def _servers(chosen: options.Options, guard: CallGuard, parts: Parts) -> list[_Part]:
    services: dict[str, list[Register]] = {}
    checks: dict[str, Callable[[], None]] = {}
    if parts.nodes and parts.record:
        services[chosen.endpoint] = _controller_services(chosen, parts.nodes, parts.record)
        checks[chosen.endpoint] = parts.nodes.check
    if chosen.is_node and parts.pool:
        services.setdefault(chosen.node_endpoint, []).append(_node_service(chosen, parts.pool))
        checks.setdefault(chosen.node_endpoint, parts.pool.check)
    servers: list[_Part] = []
    for address, registers in services.items():
        registers.append(_identity_service(checks[address], waits=parts.pool is None))
        servers.append(Server(address, registers, guard))
    if chosen.pool_endpoint and chosen.tls and parts.pool:
        from controller.pool_server import PoolServer

        servers.append(PoolServer(parts.pool, chosen.pool_endpoint, key_pair.read(chosen.tls)))
    return servers


def _identity_service(check: Callable[[], None], *, waits: bool) -> Register:
    service = IdentityService(check, waits=waits)
    return lambda server: csi_pb2_grpc.add_IdentityServicer_to_server(service, server)


def _controller_services(chosen: options.Options, nodes: "Nodes", record: Record) -> list[Register]:
    from controller.groups import GroupControllerService
    from controller.metadata import SnapshotMetadataService
    from controller.service import ControllerService

    control = ControllerService(nodes, record.leases, chosen.max_volumes, record.holders)
    groups = GroupControllerService(nodes)
    metadata = SnapshotMetadataService(nodes)
    return [
        lambda server: csi_pb2_grpc.add_ControllerServicer_to_server(control, server),
        lambda server: csi_pb2_grpc.add_GroupControllerServicer_to_server(groups, server),
        lambda server: csi_pb2_grpc.add_SnapshotMetadataServicer_to_server(metadata, server),
    ]


def _node_service(chosen: options.Options, pool: "HostPool") -> Register:
    from node.local_disks import LocalDisks
    from node.service import NodeService

    local, volumes = LocalDisks(chosen.local_root), _scratch_volumes(chosen, pool)
    service = NodeService(chosen.node_id, pool, local, volumes, chosen.max_volumes)
    return lambda server: csi_pb2_grpc.add_NodeServicer_to_server(service, server)


def _scratch_volumes(chosen: options.Options, pool: "HostPool") -> "ScratchVolumes":
    from node.scratch import ScratchVolumes

    # Beside the socket: in a cluster that is a folder of the host, seen by this driver alone.
    folder = endpoint.parse(chosen.node_endpoint).with_suffix(".scratch")
    return ScratchVolumes(pool, folder, chosen.namespace)


if __name__ == "__main__":
    sys.exit(main())
