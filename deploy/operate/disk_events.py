"""Events about a disk: of its PersistentVolume, of its claim, and of the pods that want it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller import workloads
from controller.lease import Lease
from controller.workloads import Reference
from csi.kubernetes_api import Object
from deploy.app_cluster import seen
from deploy.operate.disk_cluster import DiskCluster
from deploy.operate.overview import DiskFacts
from deploy.operate.tables import age

_MOST = 8
_MOST_PODS = 5
_ABOUT_VOLUMES = re.compile(r"volume|mount|disk|lease|filesystem", re.IGNORECASE)
"""What the reasons of a pod's events about its volumes have in them, kubelet's and ours."""
_UNPLACED = "FailedScheduling"


@dataclass(frozen=True, slots=True)
class DiskEvent:
    """Something that happened, and how often by now."""

    time: str
    """When it was seen last, in UTC (RFC 3339)."""
    is_warning: bool
    about: str
    """`pod shop/db-0`."""
    reason: str
    message: str

    def line(self) -> str:
        """Return it for people."""
        when = f"{age(datetime.fromisoformat(self.time)):>5}  " if self.time else ""
        return f"{when}{self.about}  {self.reason}: {self.message}"

    def document(self) -> dict[str, Any]:
        """Return it as `-o json` shows it."""
        return {
            "time": self.time or None,
            "type": "Warning" if self.is_warning else "Normal",
            "about": self.about,
            "reason": self.reason,
            "message": self.message,
        }


def of_disk(cluster: DiskCluster, disk: DiskFacts, lease: Lease | None) -> list[DiskEvent]:
    """Return the latest events about a disk, the latest first."""
    about = [("Pod", *pod.partition("/")[::2]) for pod in _pods(cluster, disk, lease)]
    if disk.claim:
        namespace, _, name = disk.claim.partition("/")
        about.append(("PersistentVolumeClaim", namespace, name))
    # Events about what has no namespace are in this one.
    about.append(("PersistentVolume", "default", disk.volume))
    # What is told of a pod and of its claim alike, is told once.
    once: dict[tuple[str, str], DiskEvent] = {}
    for event in (event for one in about for event in _of_object(cluster, *one)):
        once.setdefault((event.reason, event.message), event)
    return sorted(once.values(), key=lambda event: event.time, reverse=True)[:_MOST]


def _pods(cluster: DiskCluster, disk: DiskFacts, lease: Lease | None) -> list[str]:
    """Return the pods that have the disk, wait for its lease, or only want its claim."""
    found = [lease.holder, *(one.holder for one in lease.waiting)] if lease else []
    if disk.claim:
        namespace, _, name = disk.claim.partition("/")
        pods = map(workloads.pod_of, cluster.api.list(f"/api/v1/namespaces/{namespace}/pods"))
        using = workloads.users(pods, Reference(namespace, name))
        found += [str(pod.reference) for pod in using]
    return [*dict.fromkeys(filter(None, found))][:_MOST_PODS]


def _of_object(cluster: DiskCluster, kind: str, namespace: str, name: str) -> Iterator[DiskEvent]:
    path = f"/api/v1/namespaces/{namespace}/events"
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    for event in _fitting(kind, cluster.api.list(path, {"fieldSelector": selector})):
        yield DiskEvent(
            time=seen(event),
            is_warning=event.get("type") == "Warning",
            about=_called(kind, namespace, name),
            reason=event.get("reason") or "",
            message=(event.get("message") or "").strip(),
        )


def _fitting(kind: str, events: Iterable[Object]) -> Iterator[Object]:
    for event in events:
        reason, message = event.get("reason") or "", event.get("message") or ""
        text = message if reason == _UNPLACED else reason
        if kind != "Pod" or _ABOUT_VOLUMES.search(text):
            yield event


def _called(kind: str, namespace: str, name: str) -> str:
    words = {"PersistentVolume": "volume", "PersistentVolumeClaim": "claim", "Pod": "pod"}
    return (
        f"{words[kind]} {name}"
        if kind == "PersistentVolume"
        else (f"{words[kind]} {namespace}/{name}")
    )
