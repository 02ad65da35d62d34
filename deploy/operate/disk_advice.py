"""What to do about each thing that is wrong with a disk."""

from collections.abc import Iterator

from controller.holders import NODE
from controller.lease import Lease, LeaseState
from controller.leases import utc_now
from controller.workloads import Pod
from csi import fullness
from csi.duration import format_duration
from deploy.operate import pools
from deploy.operate.disk_details import DiskDetails
from deploy.operate.disk_state import DiskState
from deploy.operate.figures import PoolFigures
from deploy.operate.node_facts import Problem

_OF_PROBLEMS = {
    "DeviceFailed": "its device cannot be read. See the kernel's log (dmesg) and the drives of the "
    "node; restore a snapshot or a backup as a new disk if they are broken",
    "FilesystemShutDown": "restart what uses it: the filesystem is repaired when it is mounted "
    "anew. See the node's dmesg for the cause; a full pool is a common one",
    "FilesystemReadOnly": "take a snapshot, then restart what uses it: the filesystem is checked "
    "when it is mounted anew. See the node's dmesg for the cause; a full pool is a common one",
    "FilesystemErrors": "take a snapshot, then restart what uses it: the filesystem is checked "
    "when it is mounted anew. See the node's dmesg for what failed",
    "FilesystemMissing": "data is lost: stop what uses it, leave the disk as it is, and restore a "
    "snapshot or a backup as a new disk",
}


def of(known: DiskDetails) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong, the worst first."""
    disk = known.disk
    for problem in known.problems:
        yield _of_problem(problem)
    yield from _of_node(known)
    if known.pool:
        yield from _of_pool(known.pool)
    full = known.node.full
    if full is not None and full >= fullness.FILESYSTEM_ALMOST_FULL:
        yield (
            f"The filesystem is {full:.0%} full: delete files, or kubectl miren disk resize "
            f"{disk.name} SIZE"
        )
    yield from _of_state(disk.state, disk.volume)
    if known.lease:
        yield from _of_lease(known.lease, known.holder)
    for reason in known.missing:
        yield f"Not all could be found out: {reason}"


def _of_problem(problem: Problem) -> str:
    todo = _OF_PROBLEMS.get(problem.reason, "stop the app, then see docs/alerts.md")
    return f"{problem.reason}: {todo}"


def _of_node(known: DiskDetails) -> Iterator[str]:
    if not known.node_is_ready:
        node = known.disk.node
        yield (
            f"Node {node} is not ready: the disk is there and nowhere else, and comes back with "
            f"it. kubectl describe node {node} tells why it is away"
        )


def _of_pool(pool: PoolFigures) -> Iterator[str]:
    for warning in pools.warnings([pool]):
        yield f"{warning[0].upper()}{warning[1:]}"


def _of_state(state: DiskState, volume: str) -> Iterator[str]:
    if state is DiskState.PROVISIONING:
        yield "Its first pod makes it. If one waits: kubectl describe pod tells why."
    if state is DiskState.DELETING:
        yield (
            f"Its PersistentVolume is being deleted, which waits for what is in its finalizers: "
            f"kubectl get pv {volume} -o yaml. The data stays; the driver makes a new one for it"
        )


def _of_lease(lease: Lease, pod: Pod | None) -> Iterator[str]:
    if not lease.holder:
        yield from _of_waiting(lease)
        return
    is_pod = not lease.holder.startswith(NODE)
    if is_pod and (pod is None or pod.is_over):
        yield (
            f"Pod {lease.holder} is gone: the disk is released once node {lease.node} has "
            f"unmounted it. If that does not come: kubectl miren disk lease release {lease.disk}"
        )
    elif lease.waiting:
        waiting = lease.waiting[0].holder
        yield f"{waiting} waits for the disk, which it gets once {lease.holder} is gone"


def _of_waiting(lease: Lease) -> Iterator[str]:
    now = utc_now()
    for one in lease.waiting:
        namespace, _, name = one.holder.partition("/")
        if one.state(now) is LeaseState.FAILED:
            yield (
                f"{one.holder} waited longer than its lease_timeout of "
                f"{format_duration(one.timeout)}; nobody holds the disk now, so the next attempt "
                f"of its node gets it. If none comes: kubectl delete pod -n {namespace} {name}"
            )
