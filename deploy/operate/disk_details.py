"""All that can be found out about one disk."""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.lease import Lease
from controller.workloads import Pod
from csi.errors import DiskError, NotFound
from csi.kubernetes_api import Object
from deploy.operate import disk_events, figures, mounting, node_facts, overview, snapshots
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.disk_events import DiskEvent
from deploy.operate.figures import PoolFigures
from deploy.operate.mounting import Mount
from deploy.operate.node_facts import NodeFacts, Problem
from deploy.operate.overview import DiskFacts


@dataclass(frozen=True, slots=True)
class DiskDetails:
    """What is known about a disk."""

    disk: DiskFacts
    lease: Lease | None
    holder: Pod | None
    """The pod that holds it, as far as it exists."""
    mounts: list[Mount]
    snapshots: list[Object] | None
    """None when the driver could not be asked."""
    events: list[DiskEvent]
    pool: PoolFigures | None
    """The pool that has it; None when that does not tell."""
    node: NodeFacts
    node_is_ready: bool
    """Whether Kubernetes sees the node that has it; also when that is not known."""
    missing: Sequence[str] = ()
    """What could not be had, and why."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the disk itself, in sentences where the node tells them."""
        told = {one.reason for one in self.node.problems}
        bare = (Problem(reason, "") for reason in self.disk.problems if reason not in told)
        return (*self.node.problems, *bare)


def gather(cluster: DiskCluster, name: str) -> DiskDetails:
    """Find all out that can be; raises NotFound, Unavailable when the API server is away."""
    cluster.known(name)
    told = figures.read(cluster.driver)
    disk = next((one for one in overview.of_all(cluster, told) if one.name == name), None)
    if disk is None:
        raise NotFound(f'disk "{name}" does not exist any more')
    lease = cluster.lease(name)
    missing = [*told.silent]
    try:
        found = snapshots.of_disk(cluster, name)
    except DiskError as error:
        found = None
        missing.append(f"its snapshots: {error}")
    facts = node_facts.UNKNOWN
    if name in told.disks:
        try:
            facts = node_facts.read(cluster.driver, disk.node, name)
        except DiskError as error:
            missing.append(f"how node {disk.node} has it: {error}")
    return DiskDetails(
        disk=disk,
        lease=lease,
        holder=cluster.pod(lease.holder) if lease and lease.holder else None,
        mounts=[one for one in mounting.of_all(cluster) if one.disk == name],
        snapshots=found,
        events=disk_events.of_disk(cluster, disk, lease),
        pool=next((pool for pool in told.pools if pool.node == disk.node), None),
        node=facts,
        node_is_ready=not disk.node or cluster.node_is_ready(disk.node),
        missing=missing,
    )
