"""How far the pod of a mover is, and why it does not start."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from csi.kubernetes_api import Object
from deploy.app_cluster import seen

# https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NOT_CREATED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_TELLING = {"FailedMount", "FailedCreatePodSandBox", "FailedCreate", "FailedScheduling"}
# What the driver will say again, however often it is asked.
_FOR_GOOD = re.compile(
    r"code = (?:NotFound|PermissionDenied|InvalidArgument) desc = (?P<why>.*)"
    r"|(?P<folder>hostPath type check failed: .*)"
)
_OF_DRIVER = re.compile(r".*?rpc error: code = \w+ desc = (?P<why>.*)", re.DOTALL)


class Stage(StrEnum):
    """How far a pod is."""

    WAITING = "waiting"
    RUNNING = "running"
    """Its volume is there, and its container runs."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_OVER = {"Succeeded": Stage.SUCCEEDED, "Failed": Stage.FAILED}


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod at a moment."""

    stage: Stage
    waits_for: str = ""
    """Why it does not run yet, as far as that is known."""
    never: bool = False
    """Whether it will not run by waiting."""
    ended: str = ""
    """How it has ended, when it has failed."""


def state_of(pod: Object | None, events: Sequence[Object]) -> PodState:
    """Return how far a pod is; `events` are the warnings about it and its Job."""
    told = _told(events)
    if pod is None:
        return PodState(Stage.WAITING, told)
    status = pod.get("status") or {}
    if status.get("phase") in _OVER:
        return PodState(_OVER[status["phase"]], ended=_end(status))
    for container in status.get("containerStatuses") or ():
        found = _of_container(container)
        if found:
            return found
    return _on_its_way(pod, told)


def _of_container(container: Object) -> PodState | None:
    """Return what a container's state says about its pod, None if that is nothing yet."""
    state = container.get("state") or {}
    if "running" in state:
        return PodState(Stage.RUNNING)
    if "terminated" in state:
        is_good = state["terminated"].get("exitCode") == 0
        ended = _end({"containerStatuses": [container]})
        return PodState(Stage.SUCCEEDED if is_good else Stage.FAILED, ended=ended)
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _NO_IMAGE:
        why = f"its image {container.get('image')} cannot be pulled: {message or reason}"
        return PodState(Stage.WAITING, why, never=True)
    if reason in _NOT_CREATED:
        why = f"its container cannot be started: {message or reason}"
        return PodState(Stage.WAITING, why, never=True)
    return None


def _on_its_way(pod: Object, told: str) -> PodState:
    if not pod["spec"].get("nodeName"):
        for condition in (pod.get("status") or {}).get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition.get("message"):
                return PodState(Stage.WAITING, f"no node takes it: {condition['message']}")
        return PodState(Stage.WAITING, told or "it waits for a node")
    if final := _FOR_GOOD.search(told):
        return PodState(Stage.WAITING, final["why"] or final["folder"], never=True)
    ours = _OF_DRIVER.fullmatch(told)
    return PodState(Stage.WAITING, ours["why"] if ours else told)


def _told(events: Iterable[Object]) -> str:
    """Return the latest warning that says why a pod does not start."""
    for event in sorted(events, key=seen, reverse=True):
        if event.get("reason") in _TELLING:
            return " ".join(str(event.get("message", "")).split())
    return ""


def _end(status: Object) -> str:
    """Return how a pod has ended, as part of a sentence."""
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended:
            reason = ended.get("reason") or ""
            told = f" ({reason})" if reason not in {"", "Error", "Completed"} else ""
            return f"with status {ended.get('exitCode')}{told}"
    reason, message = status.get("reason", ""), status.get("message", "")
    return f"({': '.join(filter(None, (reason, message)))})" if reason or message else "somehow"
