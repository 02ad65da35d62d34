"""What is removed from a repository: of one disk, and of one cluster."""

from collections.abc import Sequence

from csi.errors import Refused
from csi.kubernetes_api import Object
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover_lines import Facts
from deploy.operate.places import Repository
from deploy.operate.progress_bar import ProgressBar
from deploy.operate.repository_jobs import ask


def prune(
    cluster: DiskCluster,
    disk: str,
    keep: Sequence[str],
    place: Repository,
    opened_by: Credentials,
    *,
    nodes: Object,
    bar: ProgressBar,
    all_clusters: bool = False,
) -> Facts:
    """Remove a disk's backups but for those to `keep`; return which are kept, and which removed.

    Only what this cluster has made, unless `all_clusters`: another may have a disk of that name,
    and a mind of its own about its backups. Raises Refused for who may not know which cluster this
    is, MoverFailed, Unavailable.
    """
    words = ["prune", "--disk", disk, *keep]
    if not all_clusters:
        words += ["--cluster", _uid(cluster)]
    return ask(cluster, "prune", words, place, opened_by, nodes=nodes, bar=bar)


def _uid(cluster: DiskCluster) -> str:
    uid = cluster.uid()
    if not uid:
        raise Refused(
            "which backups are this cluster's is not known to who may not get the namespace "
            "kube-system; backup prune --all-clusters takes those of others too"
        )
    return uid
