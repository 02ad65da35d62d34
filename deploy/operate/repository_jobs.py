"""Movers without a disk, which only look after a repository."""

import uuid
from collections.abc import Sequence

from csi.kubernetes_api import Object
from csi.persistent_volume import COORDINATOR
from deploy.operate import mover_life
from deploy.operate.credentials import Credentials
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover_job import MoverJob, on_node
from deploy.operate.mover_lines import Facts
from deploy.operate.places import Repository
from deploy.operate.progress_bar import ProgressBar

_STARTS_WITHIN = 300.0


def ask(
    cluster: DiskCluster,
    kind: str,
    words: Sequence[str],
    repository: Repository,
    opened_by: Credentials,
    *,
    nodes: Object,
    bar: ProgressBar,
) -> Facts:
    """Run a mover's command to its end, and return what it says then.

    Raises MoverFailed, Unavailable.
    """
    job = MoverJob(
        name=f"{kind}-{uuid.uuid4().hex[:10]}",
        kind=kind,
        image=mover_life.image_of(cluster),
        words=words,
        nodes=nodes,
        repository=repository,
        secret=opened_by.secret,
    )
    with mover_life.started(cluster, job, opened_by.given, bar) as one:
        one.wait_started(_STARTS_WITHIN)
        return one.result()


def nodes(node: str | None) -> Object:
    """Return the NodeSelector of the node that is named, or of the coordinator."""
    return on_node(node) if node else COORDINATOR.selector()
