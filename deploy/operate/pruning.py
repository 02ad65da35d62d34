"""What a mover removes from a repository: of one disk, and of one cluster."""

from collections.abc import Sequence

from csi.errors import Refused
from deploy.operate.disk_cluster import DiskCluster


def words(
    cluster: DiskCluster, disk: str, keep: Sequence[str], *, all_clusters: bool = False
) -> list[str]:
    """Return the mover's words to remove a disk's backups, but for those to `keep`.

    Only what this cluster has made, unless `all_clusters`: another may have a disk of that name,
    and a mind of its own about its backups. Raises Refused, as `own` does.
    """
    whose = [] if all_clusters else ["--cluster", own(cluster)]
    return ["prune", "--disk", disk, *keep, *whose]


def own(cluster: DiskCluster) -> str:
    """Return what backups of this cluster have; raises Refused for who may not know that."""
    uid = cluster.uid()
    if not uid:
        raise Refused(
            "which backups are this cluster's is not known to who may not get the namespace "
            "kube-system; backup prune --all-clusters takes those of others too"
        )
    return uid
