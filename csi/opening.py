"""Opens what the options of `miren-csi` name: pools, and what records who holds their disks."""

import socket
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from csi import DRIVER_NAME
from csi.errors import InvalidRequest
from csi.options import Options

# A node plugin loads none of the controller's modules that it does not need.
if TYPE_CHECKING:
    from controller.holders import Holders
    from controller.leases import Leases
    from controller.nodes import Nodes
    from controller.pool import HostPool
    from controller.upkeep import Upkeep
    from csi.metrics import Metrics


_ELSEWHERE = "nodes"
"""What --pool begins with when it means the pools of a cluster's nodes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a plugin works with; what it does not need is None."""

    pool: "HostPool | None"
    """The pool of this host."""
    nodes: "Nodes | None"
    """The pools that a controller controls."""
    record: "Record | None"


@dataclass(frozen=True, slots=True)
class Record:
    """Who holds the disks."""

    leases: "Leases"
    holders: "Holders"
    upkeep: "Upkeep | None" = None
    """Keeps a cluster's objects true to the disks, where there is a cluster."""


def open_parts(chosen: Options, stack: ExitStack, metrics: "Metrics | None") -> Parts:
    """Open all that a plugin's options name; `stack` closes it. Raises DiskError."""
    from controller.nodes import Nodes

    pool: HostPool | None = None
    nodes: Nodes | None = None
    if not chosen.pool.startswith(f"{_ELSEWHERE}:"):
        pool = open_pool(chosen.pool, chosen.overcommit, metrics)
        stack.callback(pool.close)
    if chosen.controls:
        nodes = Nodes.single(chosen.node_id, pool) if pool else open_nodes(chosen.pool)
    elif pool is None:
        raise InvalidRequest(f"--pool {chosen.pool} is for a controller; a node has its own pool")
    return Parts(pool, nodes, open_record(chosen.leases, nodes) if nodes else None)


def open_pool(spec: str, overcommit: float, metrics: "Metrics | None" = None) -> "HostPool":
    """Open the pool that `lvm:VG/THINPOOL` or `loop:DIR` names; its commands count in `metrics`.

    Raises InvalidRequest when the words are wrong or there is no such pool, Unavailable when it
    cannot be reached now.
    """
    kind, _, place = spec.partition(":")
    if kind == "lvm" and place:
        from controller import lvm_session
        from controller.lvm_pool import LvmPool

        observe = metrics.observe_command if metrics else lvm_session.ignore
        return LvmPool(place, overcommit, observe)
    if kind == "loop" and place.startswith("/"):
        from pathlib import Path

        from controller.loop_pool import LoopPool

        return LoopPool(Path(place), overcommit)
    raise InvalidRequest(
        f"--pool must be lvm:VG/THINPOOL or loop:/DIR, or nodes:PORT for a controller, not {spec!r}"
    )


def open_nodes(spec: str) -> "Nodes":
    """Open the pools of a cluster's nodes, as `nodes:PORT` names them.

    Raises InvalidRequest when it is wrong, Unavailable when the API server cannot be asked.
    """
    from controller.cluster_nodes import ClusterNodes, keys_of
    from controller.nodes import Nodes
    from csi.kubernetes_api import KubernetesApi

    port = spec.partition(":")[2]
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise InvalidRequest(f"--pool must be nodes:PORT, not {spec!r}")
    api, namespace = KubernetesApi(), KubernetesApi.own_namespace()
    found = ClusterNodes(api, namespace, int(port), keys_of(api, namespace))
    return Nodes(found, found.coordinator)


def open_record(spec: str, nodes: "Nodes") -> Record:
    """Open the lease store that `file:PATH` or `kubernetes` names.

    Raises InvalidRequest when it is neither, or cannot be used.
    """
    kind, _, place = spec.partition(":")
    if spec == "kubernetes":
        return _cluster(nodes)
    if kind == "file" and place.startswith("/"):
        from pathlib import Path

        from controller.holders import UnknownHolders
        from controller.lease_file import LeaseFile
        from controller.leases import Leases

        return Record(Leases(LeaseFile(Path(place))), UnknownHolders())
    raise InvalidRequest(f"--leases must be file:/PATH or kubernetes, not {spec!r}")


def _cluster(nodes: "Nodes") -> Record:
    from controller.holders import PodHolders
    from controller.leader import LeaderElection
    from controller.lease_objects import LeaseObjects
    from controller.leases import Leases
    from controller.pv_mirror import Mirror
    from controller.upkeep import Upkeep
    from csi.kubernetes_api import KubernetesApi

    api, namespace = KubernetesApi(), KubernetesApi.own_namespace()
    leases, holders = Leases(LeaseObjects(api, namespace)), PodHolders(api)
    name = f"{DRIVER_NAME.replace('.', '-')}-controller"
    leader = LeaderElection(api, namespace, name, f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
    mirror = Mirror(namespace, nodes.coordinator)
    upkeep = Upkeep(api, nodes, leases, holders, mirror=mirror, leader=leader)
    return Record(leases, holders, upkeep)
