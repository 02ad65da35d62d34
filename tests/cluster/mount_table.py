"""What is mounted and open on a node, and whether a disk was left as it should be."""

from dataclasses import dataclass

from tests.cluster.cluster import Cluster
from tests.cluster.node import Node
from tests.cluster.vm_node import mapper_name

_PODS = "/var/lib/kubelet/pods/"


@dataclass(frozen=True, slots=True)
class Mounted:
    """One line of the node's mount table."""

    id: int
    target: str
    source: str


def mount_table(node: Node) -> list[Mounted]:
    """All mounts of a node."""
    mounts = []
    for line in node.run("cat /proc/self/mountinfo").splitlines():
        front, _, back = line.partition(" - ")
        fields = front.split()
        mounts.append(Mounted(int(fields[0]), fields[4], back.split()[1]))
    return mounts


def mounts_of(node: Node, volume: str) -> list[Mounted]:
    """The mounts of a PV's disk: where it is staged, and in pods."""
    return [mount for mount in mount_table(node) if node.is_of(mount.source, volume)]


def mounts_of_gone_pods(kubernetes: Cluster, node: Node) -> list[str]:
    """What is mounted for pods that the cluster does not know any more."""
    table = mount_table(node)
    pods = kubernetes.get("pods", "--all-namespaces")["items"]
    known = {pod["metadata"]["uid"] for pod in pods}
    found = [mount.target for mount in table if mount.target.startswith(_PODS)]
    return [path for path in found if path.removeprefix(_PODS).split("/")[0] not in known]


def times_open(node: Node, volume: str) -> int:
    """How often the LV of a PV's disk is open; 0 also when there is no device."""
    listed = node.run("dmsetup info -c --noheadings --separator ' ' -o name,open").splitlines()
    counts = [line.split()[1] for line in listed if mapper_name(volume) in line]
    return sum(map(int, counts))


def check_filesystem(node: Node, volume: str) -> str:
    """What e2fsck finds wrong with a PV's ext4, which is not mounted; nothing when it is clean."""
    outcome = node.try_to_run(f"e2fsck -fn /dev/mapper/{mapper_name(volume)}*")
    return outcome.console if outcome.status else ""
