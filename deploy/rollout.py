"""How far each service of an app is, from its Deployment, its pods and the warnings about them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from csi.kubernetes_api import Object
from deploy import labels
from deploy.app_cluster import AppCluster

# https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"

_LOG_LINES = 10
# https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
_NO_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
# Of all warnings about a pod on its node, those that say why it does not start.
_TELLING = {
    "DiskHeld",
    "LeaseTimeout",
    "FailedAttachVolume",
    "FailedMount",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
    "Failed",
}
# What kube-scheduler says of every node, in a claim's first moments.
_SAYS_UNBOUND = "unbound immediate PersistentVolumeClaims"
_UNBOUND = "waiting for its claims to be bound to disks"
_NOT_CREATED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a service is."""

    service: str
    is_ready: bool
    doing: str
    """In a few words."""
    failure: str = ""
    """Why it will not get there; empty while it may."""
    log: Sequence[str] = ()
    """The last lines of what failed."""
    restarts: Sequence[int] = ()
    """How often the container of each instance has ended and was started again."""
    ended: str = ""
    """How, if it was."""
    is_probed: bool = False
    """Whether ready means that it answers: of one without a port nobody sees that."""
    ready_instances: int = 0


def progress(cluster: AppCluster, app: str, service: str, deployment: Object) -> Progress:
    """Look at a service; `deployment` as the API server has it."""
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    updated, ready = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    pods = _current_pods(cluster, app, service, deployment)
    # Old instances count as available too, for as long as they are there.
    is_available = (
        _is_current(deployment)
        and updated >= wanted
        and min(ready, sum(map(_is_ready, pods))) >= wanted
    )
    if is_available and old <= 0:
        return Progress(
            service,
            is_ready=True,
            doing=f"ready, {_instances(ready)}",
            restarts=_restarts(pods),
            is_probed="readinessProbe" in deployment["spec"]["template"]["spec"]["containers"][0],
            ready_instances=ready,
        )
    if not is_available and (failed := _first_failure(cluster, service, pods)):
        return replace(failed, ready_instances=ready)
    late = _is_late(deployment)
    doing = _doing(cluster, pods) or ("ending the old instance" if old > 0 else "waiting")
    if wanted > 1:
        doing += f" ({ready} of {wanted} ready)"
    failure = f"{doing}, for longer than its time limit" if late else ""
    told = Progress(service, is_ready=False, doing=doing, failure=failure, ready_instances=ready)
    worst = max(pods, key=_ends, default=None)
    if worst and not is_available and (ends := _ends(worst)):
        end = next(filter(None, map(_exit, _containers(worst))), "")
        ended = f"its container has ended {_times(ends)}{end}"
        restarts, log = _restarts(pods), _log(cluster, worst)
        return replace(told, restarts=restarts, ended=ended, log=log)
    return replace(told, log=_log(cluster, pods[0])) if late and pods else told


def job_progress(cluster: AppCluster, job: Object) -> Progress:
    """Look at the Job of a post_import command."""
    name = "post_import"
    conditions = {
        one["type"]: one
        for one in (job.get("status") or {}).get("conditions") or ()
        if one["status"] == "True"
    }
    if "Complete" in conditions:
        return Progress(name, is_ready=True, doing="done")
    pods = cluster.pods({"batch.kubernetes.io/job-name": job["metadata"]["name"]})
    if "Failed" in conditions:
        log = _log(cluster, pods[0]) if pods else ()
        ends = [_exit(status) for pod in pods for status in _containers(pod)]
        why = f"the command has failed{next(filter(None, ends), '')}"
        return Progress(name, is_ready=False, doing="failed", failure=why, log=log)
    failed = _first_failure(cluster, name, pods)
    return failed or Progress(name, is_ready=False, doing=_doing(cluster, pods) or "waiting")


def _is_current(deployment: Object) -> bool:
    seen = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= deployment["metadata"]["generation"])


def _is_late(deployment: Object) -> bool:
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    return _is_current(deployment) and any(
        one["type"] == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded"
        for one in conditions
    )


def _current_pods(cluster: AppCluster, app: str, service: str, deployment: Object) -> list[Object]:
    """Return the pods of the newest template that are there to stay."""
    selector = labels.of_service(app, service)
    revision = (deployment["metadata"].get("annotations") or {}).get(_REVISION)
    hashes = {
        found["metadata"]["labels"].get(_HASH)
        for found in cluster.replica_sets(selector)
        if (found["metadata"].get("annotations") or {}).get(_REVISION) == revision
    }
    return [
        pod
        for pod in cluster.pods(selector)
        if "deletionTimestamp" not in pod["metadata"]
        and pod["metadata"]["labels"].get(_HASH) in hashes
    ]


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _first_failure(cluster: AppCluster, service: str, pods: Iterable[Object]) -> Progress | None:
    return next(filter(None, (_failure(cluster, service, pod) for pod in pods)), None)


def _failure(cluster: AppCluster, service: str, pod: Object) -> Progress | None:
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _NO_IMAGE:
            why = f"its image {status['image']} cannot be pulled: {message}"
        elif reason in _NOT_CREATED:
            why = f"its container cannot be started: {message}"
        else:
            continue
        log = _log(cluster, pod)
        return Progress(service, is_ready=False, doing="failed", failure=why, log=log)
    return None


def _restarts(pods: Iterable[Object]) -> Sequence[int]:
    return tuple(map(_ends, pods))


def _ends(pod: Object) -> int:
    return sum(status.get("restartCount", 0) for status in _containers(pod))


def _exit(status: Object) -> str:
    for state in ("state", "lastState"):
        ended = (status.get(state) or {}).get("terminated")
        if ended:
            return f", the last time with status {ended['exitCode']}"
    return ""


def _doing(cluster: AppCluster, pods: Iterable[Object]) -> str:
    for pod in pods:
        if not pod["spec"].get("nodeName"):
            return _pending(pod)
        for status in _containers(pod):
            state = status.get("state") or {}
            if "running" in state:
                return "running, not ready yet"
            if "terminated" in state or status.get("restartCount"):
                return f"starting again{_exit(status)}"
        return _told(cluster, pod) or "getting its disks and its image"
    return ""


def _pending(pod: Object) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        message = condition.get("message", "")
        if condition["type"] == "PodScheduled" and message:
            return _UNBOUND if _SAYS_UNBOUND in message else f"waiting for a node: {message}"
    return "waiting for a node"


def _told(cluster: AppCluster, pod: Object) -> str:
    """Return what a warning says about the pod: who holds its disk, for example."""
    for event in cluster.events(pod["metadata"]["name"]):
        if event.get("reason") in _TELLING:
            return str(event.get("message", "")).strip().partition("\n")[0]
    return ""


def _containers(pod: Object) -> Sequence[Object]:
    found: Sequence[Object] = (pod.get("status") or {}).get("containerStatuses") or ()
    return found


def _log(cluster: AppCluster, pod: Object) -> Sequence[str]:
    name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
    restarted = any(status.get("restartCount") for status in _containers(pod))
    states = [status.get("state") or {} for status in _containers(pod)]
    running = any("running" in state for state in states)
    if not any({"running", "terminated"} & set(state) for state in states) and not restarted:
        return ()
    previous = restarted and not running
    found = cluster.log(name, container, lines=_LOG_LINES, previous=previous)
    if found or not restarted:
        return found
    return cluster.log(name, container, lines=_LOG_LINES, previous=not previous)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _instances(number: int) -> str:
    return "1 instance" if number == 1 else f"{number} instances"
