"""Opens what the options of `miren-csi` name: a pool, and what records who holds its disks."""

import socket
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from csi import DRIVER_NAME
from csi.errors import InvalidRequest

# A node plugin loads none of the controller's modules that it does not need.
if TYPE_CHECKING:
    from controller.holders import Holders
    from controller.leases import Leases
    from controller.pool import Pool
    from controller.upkeep import Upkeep
    from csi.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Record:
    """Who holds the disks."""

    leases: "Leases"
    holders: "Holders"
    upkeep: "Upkeep | None" = None
    """Keeps a cluster's objects true to the disks, where there is a cluster."""


def open_pool(spec: str, overcommit: float, metrics: "Metrics | None" = None) -> "Pool":
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
    raise InvalidRequest(f"--pool must be lvm:VG/THINPOOL or loop:/DIR, not {spec!r}")


def open_record(spec: str, pool: "Pool", node_id: str) -> Record:
    """Open the lease store that `file:PATH` or `kubernetes` names.

    Raises InvalidRequest when it is neither, or cannot be used.
    """
    kind, _, place = spec.partition(":")
    if spec == "kubernetes":
        return _cluster(pool, node_id)
    if kind == "file" and place.startswith("/"):
        from pathlib import Path

        from controller.holders import UnknownHolders
        from controller.lease_file import LeaseFile
        from controller.leases import Leases

        return Record(Leases(LeaseFile(Path(place))), UnknownHolders())
    raise InvalidRequest(f"--leases must be file:/PATH or kubernetes, not {spec!r}")


def _cluster(pool: "Pool", node_id: str) -> Record:
    from controller.holders import PodHolders
    from controller.kubernetes_api import KubernetesApi
    from controller.leader import LeaderElection
    from controller.lease_objects import LeaseObjects
    from controller.leases import Leases
    from controller.pv_mirror import Mirror
    from controller.upkeep import Upkeep

    api, namespace = KubernetesApi(), KubernetesApi.own_namespace()
    leases, holders = Leases(LeaseObjects(api, namespace)), PodHolders(api)
    name = f"{DRIVER_NAME.replace('.', '-')}-controller"
    leader = LeaderElection(api, namespace, name, f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
    mirror = Mirror(node_id, namespace)
    upkeep = Upkeep(api, pool, leases, holders, mirror=mirror, leader=leader)
    return Record(leases, holders, upkeep)
