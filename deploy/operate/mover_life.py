"""A mover's Job, from its making until nothing of it is left."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime

from csi.errors import Busy, DiskError, NotFound, Unavailable
from csi.kubernetes_api import Conflict, Object
from deploy import console
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.job_state import ended_at, is_over
from deploy.operate.mover import Mover
from deploy.operate.mover_job import KIND_KEY, TOKEN_KEY, Image, MoverJob
from deploy.operate.progress_bar import ProgressBar
from deploy.operate.running import interruptible
from deploy.operate.tables import age

_EVERY = 0.5
_GONE_WITHIN = 60.0
POD_NAME, POD_UID = "MIREN_POD_NAME", "MIREN_POD_UID"
"""Variables that name the pod in which the command runs: its movers go with it."""


@contextmanager
def started(
    cluster: DiskCluster, job: MoverJob, given: Mapping[str, str], bar: ProgressBar
) -> Iterator[Mover]:
    """Make a mover's Job, and end it and all that it has made at last.

    Args:
        cluster: where.
        job: what it does.
        given: secrets that are variables of its environment; they go with the Job.
        bar: shows what happens.

    Raises Busy when a Job of that name works already.
    """
    interruptible()
    wanted = replace(job, owner=_own_pod(), token=secrets.token_hex(8))
    if given:
        wanted = replace(wanted, secret=job.name, suspended=True)
        _forget_abandoned(cluster)
    made: Object | None = None
    try:
        made = _create(cluster, wanted)
        if given:
            _let_loose(cluster, made, given)
        yield Mover(cluster, made, job.repository, bar)
    except BaseException:
        # Who pressed Ctrl-C does not wait.
        bar.clear()
        # Made after all, it may be, when only the answer did not come.
        if left := made or _made_after_all(cluster, wanted):
            _end(cluster, left, within=0.0)
        raise
    bar.clear()
    _end(cluster, made, within=_GONE_WITHIN)


def image_of(cluster: DiskCluster) -> Image:
    """Return the driver's image; raises Unavailable when none of its pods is there."""
    for component in ("node", "controller"):
        for pod in cluster.driver.pods(component):
            spec = pod["spec"]
            for container in spec["containers"]:
                if container["name"] == "driver":
                    return Image(
                        container["image"],
                        container.get("imagePullPolicy", "IfNotPresent"),
                        tuple(spec.get("imagePullSecrets") or ()),
                    )
    raise Unavailable(
        f"no pod of the driver is in namespace {cluster.namespace}: --driver-namespace says where "
        "it is"
    )


def _jobs(cluster: DiskCluster) -> str:
    return f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs"


def _create(cluster: DiskCluster, job: MoverJob) -> Object:
    while True:
        try:
            return cluster.api.create(_jobs(cluster), job.manifest())
        except Conflict:
            _make_room(cluster, job)


def _made_after_all(cluster: DiskCluster, job: MoverJob) -> Object | None:
    with suppress(DiskError):
        found = cluster.api.get(f"{_jobs(cluster)}/{job.name}")
        if (found["metadata"].get("annotations") or {}).get(TOKEN_KEY) == job.token:
            return found
    return None


def _make_room(cluster: DiskCluster, job: MoverJob) -> None:
    """Remove what is left of a Job of that name; raises Busy when it works, or does not go."""
    found = _settled(cluster, job.name)
    if found is None:
        return
    if not (is_over(found) or found["metadata"].get("deletionTimestamp")):
        since = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
        what = f'a {job.kind} of disk "{job.disk}"' if job.disk else f"a {job.kind}"
        raise Busy(
            f"{what} is under way since {age(since)} ago, by Job {cluster.namespace}/{job.name}; "
            f"if nobody waits for it any more: kubectl delete job -n {cluster.namespace} {job.name}"
        )
    if not _delete(cluster, found, within=_GONE_WITHIN):
        raise Busy(
            f"Job {cluster.namespace}/{job.name}, of an earlier {job.kind}, is deleted and does not"
            " go; its node may be away, or its pod's volume in use: kubectl get pod -n"
            f" {cluster.namespace} -l batch.kubernetes.io/job-name={job.name} -o wide"
        )


def _settled(cluster: DiskCluster, name: str) -> Object | None:
    """Return a Job, if it is there; one that has ended, only after its command could hear so."""
    deadline = time.monotonic() + _GONE_WITHIN
    while True:
        try:
            found = cluster.api.get(f"{_jobs(cluster)}/{name}")
        except NotFound:
            return None
        if not ended_at(found) or is_over(found) or time.monotonic() > deadline:
            return found
        time.sleep(_EVERY)


def _forget_abandoned(cluster: DiskCluster) -> None:
    """Remove Jobs that were never let loose, with the Secrets of the commands that are gone."""
    with suppress(DiskError, Conflict):  # it is not what was asked for
        for found in cluster.api.list(_jobs(cluster), {"labelSelector": KIND_KEY}):
            if found["spec"].get("suspend") and is_over(found):
                _delete(cluster, found, within=0.0)


def _let_loose(cluster: DiskCluster, job: Object, given: Mapping[str, str]) -> None:
    """Make the Secret that goes with a Job, and let that begin, which needs it."""
    metadata = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"]}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata["name"],
            "labels": metadata["labels"],
            "ownerReferences": [{**owner, "uid": metadata["uid"]}],
        },
        "stringData": dict(given),
    }
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    try:
        cluster.api.create(path, secret)
    except Conflict:
        # That of the Job before, which is being collected.
        with suppress(NotFound):
            cluster.api.delete(f"{path}/{metadata['name']}")
        cluster.api.create(path, secret)
    cluster.api.patch(f"{_jobs(cluster)}/{metadata['name']}", {"spec": {"suspend": False}})


def _end(cluster: DiskCluster, job: Object, *, within: float) -> None:
    """Delete a Job, as `_delete` does; a warning tells if that is not possible."""
    try:
        _delete(cluster, job, within=within)
    except DiskError as error:
        console.say(
            f"warning: {error}. Its Job may be left: kubectl delete job -n {cluster.namespace} "
            f"{job['metadata']['name']}"
        )


def _delete(cluster: DiskCluster, job: Object, *, within: float) -> bool:
    """Delete a Job with its pod, and wait so many seconds until they and the volume are gone.

    Returns whether they are; raises DiskError.
    """
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    path = f"{_jobs(cluster)}/{name}"

    def is_gone() -> bool:
        try:
            return bool(cluster.api.get(path)["metadata"]["uid"] != uid)
        except NotFound:
            return True

    try:
        cluster.api.delete(path, propagation="Foreground", uid=uid)
        return _wait(is_gone, within)
    except (NotFound, Conflict):
        return True  # what has its name now is another command's


def _wait(condition: Callable[[], bool], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(_EVERY)
    return False


def _own_pod() -> Object | None:
    name, uid = os.environ.get(POD_NAME), os.environ.get(POD_UID)
    if not (name and uid):
        return None
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
