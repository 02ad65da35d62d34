"""A mover in the cluster, from the making of its Job until nothing of it is left."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from csi.errors import Busy, DiskError, NotFound, Unavailable
from csi.kubernetes_api import Conflict, Object
from deploy import console
from deploy.operate.container_log import ContainerLog
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover_job import CONTAINER, Image, MoverJob
from deploy.operate.mover_lines import Facts, Note, Progress, Result, parse
from deploy.operate.mover_pod import PodState, Stage, state_of
from deploy.operate.places import MOUNTED_AT, Repository
from deploy.operate.progress_bar import ProgressBar
from deploy.operate.tables import age

_EVERY = 0.5
_LOG_EVERY = 1.0
_GONE_WITHIN = 60.0
_PATIENCE = 120.0
"""Seconds for which the API server may not answer while a mover works."""
_STALE = 60.0
"""Seconds after which a Job that was never let loose is taken for one whose command is gone."""
_LAST_LINES = 5
_UNSAID = 5.0
"""Seconds that a pod may take to start without a word about why."""

POD_NAME, POD_UID = "MIREN_POD_NAME", "MIREN_POD_UID"
"""Variables that name the pod in which the command runs: its movers go with it."""


@dataclass(frozen=True, slots=True)
class _Pod:
    found: Object | None
    state: PodState


class Mover:
    """A mover whose Job exists."""

    def __init__(
        self, cluster: DiskCluster, job: Object, repository: Repository | None, bar: ProgressBar
    ) -> None:
        self._repository = repository
        self._api = cluster.api
        self._namespace = cluster.namespace
        self._name = job["metadata"]["name"]
        self._uid = job["metadata"]["uid"]
        self._bar = bar
        self._pod: Object | None = None
        self._unheard: list[str] = []

    @property
    def pod(self) -> str:
        """The name of its pod, once it has started."""
        return str(self._started()["metadata"]["name"])

    @property
    def pod_uid(self) -> str:
        """The uid of its pod, once it has started."""
        return str(self._started()["metadata"]["uid"])

    def wait_started(self, within: float) -> None:
        """Wait until its container runs, or has run: its volume is made then.

        Raises Unavailable, with the reason, when that takes longer than `within` seconds.
        """
        began, told = time.monotonic(), ""
        while True:
            now = self._look()
            state = now.state
            if state.stage is not Stage.WAITING:
                self._pod = now.found
                return
            late = time.monotonic() - began > within
            if state.never or late:
                time_ = f" after {within:g} s" if late and not state.never else ""
                raise Unavailable(
                    f"the mover's pod has not started{time_}: "
                    f"{state.waits_for or 'nothing is said about why'}"
                )
            if state.waits_for not in {"", told} and time.monotonic() - began > _UNSAID:
                told = state.waits_for
                self._bar.say(f"  its pod waits: {told}")
            time.sleep(_EVERY)

    def result(self) -> Facts:
        """Show what it does until it has done it, and return what it says then.

        Raises MoverFailed when it says that it could not, Unavailable when it ends without a word.
        """
        log = ContainerLog(self._api, self._namespace, self.pod, CONTAINER)
        answered = time.monotonic()
        while True:
            try:
                now = self._look()
                for text in log.new():
                    found = self._told(text)
                    if found is not None:
                        return found
                answered = time.monotonic()
            except NotFound:
                raise self._lost() from None
            except Unavailable:
                if time.monotonic() - answered > _PATIENCE:
                    raise
                time.sleep(_LOG_EVERY)
                continue
            if now.found is None:
                raise self._lost()
            if now.state.stage in {Stage.SUCCEEDED, Stage.FAILED}:
                said = " ".join(" ".join(self._unheard[-_LAST_LINES:]).split())
                raise Unavailable(
                    f"the mover has ended {now.state.ended or 'early'} without saying how it went"
                    f"{f' ({said})' if said else ''}; try again"
                )
            time.sleep(_LOG_EVERY)

    def _told(self, text: str) -> Facts | None:
        if self._repository and self._repository.folder:
            # It knows that folder only as it has it.
            text = text.replace(MOUNTED_AT, str(self._repository))
        match parse(text):
            case Progress(done, total, files):
                self._bar.show(done, total, files)
            case Note(sentence):
                self._bar.say(f"  note: {sentence}")
            case Result(facts):
                return facts
            case None:
                self._unheard.append(text)
        return None

    def _lost(self) -> Unavailable:
        return Unavailable(
            f"the mover's pod {self._namespace}/{self.pod} was deleted before it had done its work;"
            " try again"
        )

    def _started(self) -> Object:
        if self._pod is None:
            raise AssertionError("wait_started comes first")
        return self._pod

    def _look(self) -> _Pod:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        of_job = {"labelSelector": f"batch.kubernetes.io/controller-uid={self._uid}"}
        pods = self._api.list(path, of_job)
        pod = next(iter(pods), None)
        state = state_of(pod, ())
        if state.stage is Stage.WAITING:
            state = state_of(pod, self._warnings(pod))
        return _Pod(pod, state)

    def _warnings(self, pod: Object | None) -> list[Object]:
        names = [self._name, *([pod["metadata"]["name"]] if pod else [])]
        return [
            event
            for name in names
            for event in self._api.list(
                f"/api/v1/namespaces/{self._namespace}/events",
                {"fieldSelector": f"involvedObject.name={name},type=Warning"},
            )
        ]


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
    # A pod whose command is told to end must not leave its mover behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = replace(job, owner=_own_pod())
    if given:
        wanted = replace(wanted, secret=job.name, suspended=True)
    made = _create(cluster, wanted)
    try:
        if given:
            _let_loose(cluster, made, given)
        yield Mover(cluster, made, job.repository, bar)
    except BaseException:
        # Who pressed Ctrl-C does not wait.
        bar.clear()
        _end(cluster, made, within=0.0)
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


def _make_room(cluster: DiskCluster, job: MoverJob) -> None:
    """Remove what is left of a Job of that name; raises Busy when it works."""
    try:
        found = cluster.api.get(f"{_jobs(cluster)}/{job.name}")
    except NotFound:
        return
    if not (_is_over(found) or found["metadata"].get("deletionTimestamp")):
        since = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
        what = f'a {job.kind} of disk "{job.disk}"' if job.disk else f"a {job.kind}"
        raise Busy(
            f"{what} is under way since {age(since)} ago, by Job {cluster.namespace}/{job.name}; "
            f"if nobody waits for it any more: kubectl delete job -n {cluster.namespace} {job.name}"
        )
    _end(cluster, found, within=_GONE_WITHIN)


def _is_over(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    if any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions):
        return True
    made = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    is_old = (datetime.now(made.tzinfo) - made).total_seconds() > _STALE
    return bool(job["spec"].get("suspend")) and is_old


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
    """Delete a Job with its pod, and wait so many seconds until they and the volume are gone."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    path = f"{_jobs(cluster)}/{name}"

    def is_gone() -> bool:
        try:
            return bool(cluster.api.get(path)["metadata"]["uid"] != uid)
        except NotFound:
            return True

    try:
        cluster.api.delete(path, propagation="Foreground")
        _wait(is_gone, within)
    except NotFound:
        return
    except (DiskError, Conflict) as error:
        console.say(
            f"warning: {error}. Its Job may be left: kubectl delete job -n {cluster.namespace} "
            f"{name}"
        )


def _wait(condition: Callable[[], bool], within: float) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and not condition():
        time.sleep(_EVERY)


def _own_pod() -> Object | None:
    name, uid = os.environ.get(POD_NAME), os.environ.get(POD_UID)
    if not (name and uid):
        return None
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
