"""A mover in the cluster, from its start until it has done what it was made for."""

import time
from dataclasses import dataclass

from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import Object
from deploy.operate.container_log import ContainerLog
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.mover_job import CONTAINER
from deploy.operate.mover_lines import Facts, Note, Progress, Result, parse
from deploy.operate.mover_pod import PodState, Stage, state_of
from deploy.operate.places import MOUNTED_AT, Repository
from deploy.operate.progress_bar import ProgressBar

_EVERY = 0.5
_LOG_EVERY = 1.0
_PATIENCE = 120.0
"""Seconds for which the API server may not answer while a mover works."""
_LAST_LINES = 5
_UNSAID = 5.0
"""Seconds that a pod may take to start without a word about why."""


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
                new = [*log.new()] if now.found else []
                answered = time.monotonic()
            # A kubelet that has just been started again does not know its pods at first.
            except (Unavailable, NotFound):
                if time.monotonic() - answered > _PATIENCE:
                    raise
                time.sleep(_LOG_EVERY)
                continue
            if now.found is None:
                raise self._lost()
            for text in new:
                found = self._told(text)
                if found is not None:
                    return found
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
