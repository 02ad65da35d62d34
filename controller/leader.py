"""Leader election: of several controllers one looks after the cluster.

A Lease as client-go keeps it (k8s.io/client-go, tools/leaderelection): whoever sees the same record
for longer than its duration, by its own clock, may take over. What the leader does must be safe
when two do it for a moment, for a clock can stand still.
"""

import logging
import time
from collections.abc import Callable

from controller.leases import utc_now
from csi.errors import DiskError, NotFound
from csi.kubernetes_api import Conflict, KubernetesApi, Object

log = logging.getLogger(__name__)

DURATION = 30.0
"""Seconds after which a leader that does not renew is none."""

RENEW = 10.0
"""Seconds from one renewal to the next."""


class LeaderElection:
    """One candidate."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Stand for election.

        Args:
            api: the cluster.
            namespace: of the Lease object.
            name: of the Lease object.
            identity: of this candidate, unlike any other's.
            monotonic: seconds that only go forward.
        """
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._monotonic = monotonic
        self._led = -DURATION
        self._asked = -RENEW
        self._seen: tuple[str, float] = ("", 0.0)

    @property
    def is_leader(self) -> bool:
        """Whether this candidate leads by what it knows."""
        return self._monotonic() - self._led < DURATION

    def stand(self) -> bool:
        """Acquire or renew if it is time to; returns whether this candidate leads."""
        now = self._monotonic()
        if now - self._asked < RENEW:
            return self.is_leader
        self._asked = now
        was = self.is_leader
        try:
            if self._acquire(now):
                self._led = now
            else:
                self._led = now - DURATION
        except (Conflict, DiskError) as error:
            log.debug("leader election: %s", error)
        if self.is_leader != was:
            log.info("%s", "leading from now on" if not was else "leading no more")
        return self.is_leader

    def _acquire(self, now: float) -> bool:
        try:
            found = self._api.get(f"{self._path}/{self._name}")
        except NotFound:
            body: Object = {"metadata": {"name": self._name}, "spec": self._spec({})}
            self._api.create(self._path, body)
            return True
        spec = found.get("spec") or {}
        version = found["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, now)
        holder = spec.get("holderIdentity")
        if holder and holder != self._identity and now - self._seen[1] < DURATION:
            return False
        self._api.replace(f"{self._path}/{self._name}", {**found, "spec": self._spec(spec)})
        return True

    def resign(self) -> None:
        """Let another lead at once; that it cannot be told is no harm."""
        if not self.is_leader:
            return
        try:
            found = self._api.get(f"{self._path}/{self._name}")
            if found["spec"].get("holderIdentity") == self._identity:
                found["spec"]["holderIdentity"] = None
                self._api.replace(f"{self._path}/{self._name}", found)
        except (Conflict, DiskError) as error:
            log.debug("cannot resign: %s", error)
        self._led = -DURATION

    def _spec(self, spec: Object) -> Object:
        now = utc_now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = spec.get("holderIdentity") == self._identity
        transitions = (spec.get("leaseTransitions") or 0) + (0 if mine or not spec else 1)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": spec.get("acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
