"""Events: what `kubectl describe` shows of a pod or a claim, told once and then counted.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from controller.leases import utc_now
from controller.workloads import Reference
from csi import DRIVER_NAME
from csi.errors import DiskError
from csi.kubernetes_api import Conflict, KubernetesApi, Object

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=1)
"""What still holds is told again after that; it costs a write each time."""

_FORGOTTEN = timedelta(hours=1)
"""The API server keeps events for as long (its --event-ttl)."""


class Events:
    """Tells the owners of pods and claims something."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], datetime] = utc_now) -> None:
        """Args: api: the cluster; clock: tells the time in UTC."""
        self._api = api
        self._clock = clock
        self._told: dict[str, tuple[datetime, int]] = {}

    def warn(self, kind: str, about: Reference, reason: str, message: str, *, topic: str) -> None:
        """Write a Warning; that it cannot be written is logged and nothing else.

        Args:
            kind: of the object, `Pod` or `PersistentVolumeClaim`.
            about: the object.
            reason: a word in CamelCase.
            message: the sentence.
            topic: what stays the same while the sentence changes, such as the span in it.
        """
        now = self._clock()
        identity = f"{kind}/{about}/{about.uid}/{reason}/{topic}"
        at, count = self._told.get(identity, (now - AGAIN, 0))
        if now - at < AGAIN:
            return
        self._told = {key: told for key, told in self._told.items() if now - told[0] < _FORGOTTEN}
        self._told[identity] = (now, count + 1)
        name = f"{about.name[:200]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
        try:
            self._write(name, kind, about, (reason, message), count + 1)
        except (Conflict, DiskError) as error:
            log.warning("cannot tell %s %s: %s (%s)", kind, about, message, error)

    def _write(
        self, name: str, kind: str, about: Reference, said: tuple[str, str], count: int
    ) -> None:
        reason, message = said
        path = f"/api/v1/namespaces/{about.namespace}/events"
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": about.uid,
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": DRIVER_NAME},
            "reportingComponent": DRIVER_NAME,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": count,
        }
        try:
            self._api.create(path, event)
        except Conflict:
            again = {"message": message, "lastTimestamp": now, "count": count}
            self._api.patch(f"{path}/{name}", again)
