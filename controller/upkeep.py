"""Keeps the cluster's objects true to the disks, for as long as this controller leads."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator

from controller import workloads
from controller.cluster_events import Events
from controller.holders import Holders
from controller.leader import LeaderElection
from controller.lease_care import LeaseCare
from controller.leases import Leases, utc_now
from controller.nodes import Nodes
from controller.object_cache import ObjectCache
from controller.pv_mirror import Change, Correct, Make, Mirror, Remove, Tell
from csi.errors import DiskError, NotFound
from csi.kubernetes_api import Conflict, KubernetesApi

log = logging.getLogger(__name__)

RESYNC = 30.0
"""Seconds after which disks are compared with volumes though nothing seems to have changed."""

TICK = 5.0
"""Seconds after which time alone may have changed something."""

REST = 1.0
"""Seconds between two looks: changes come in swarms."""

GRACE = 10.0
"""Seconds for which a disk lacks its volume, or a volume its disk, before that is mended: whoever
made or deleted the one may be about to do the same to the other."""

_VOLUMES = "/api/v1/persistentvolumes"


class Upkeep:
    """Mirrors disks as PersistentVolumes, and keeps leases."""

    def __init__(
        self,
        api: KubernetesApi,
        nodes: Nodes,
        leases: Leases,
        holders: Holders,
        *,
        mirror: Mirror,
        leader: LeaderElection,
        grace: float = GRACE,
    ) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            api: the cluster.
            nodes: have the disks.
            leases: says who holds them.
            holders: knows the pods behind that.
            mirror: compares disks and volumes.
            leader: of several controllers one does all this.
            grace: seconds for which a disk may be without a volume, or the other way round.
        """
        self._api = api
        self._nodes = nodes
        self._mirror = mirror
        self._leader = leader
        self._events = Events(api)
        self._care = LeaseCare(leases, holders, self._events)
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._moved = threading.Event()
        self._volumes = ObjectCache(api, _VOLUMES, workloads.trim_volume)
        self._claims = ObjectCache(api, "/api/v1/persistentvolumeclaims", workloads.trim_claim)
        self._pods = ObjectCache(api, "/api/v1/pods", workloads.trim_pod)
        for cache in (self._volumes, self._claims):
            cache.wake(self._moved)
        self._caches = (self._volumes, self._claims, self._pods)
        for cache in self._caches:
            cache.wake(self._changed)
        self._grace = grace
        self._compared = -RESYNC
        self._wanting: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    @property
    def is_leader(self) -> bool:
        """Whether this controller leads."""
        return self._leader.is_leader

    def start(self) -> None:
        """Begin, in threads of its own."""
        for cache in self._caches:
            # A watch ends only with the next event; the process does not wait for it.
            threading.Thread(target=cache.run, args=[self._stop], daemon=True).start()
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way, and let another controller lead."""
        self._stop.set()
        self._changed.set()
        self._thread.join()
        self._leader.resign()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._leader.stand() and all(cache.is_listed for cache in self._caches):
                    self._look()
            except DiskError as error:
                log.warning("cannot keep the cluster's objects up to date now: %s", error)
            except Exception:
                log.exception("a mistake in the upkeep of the cluster's objects")
            self._stop.wait(REST)
            self._changed.wait(TICK)
            self._changed.clear()

    def _look(self) -> None:
        volumes = [*filter(None, map(workloads.volume_of, self._volumes.list()))]
        pods = [workloads.pod_of(found) for found in self._pods.list()]
        self._care.look(volumes, pods, utc_now())
        now = time.monotonic()
        if self._moved.is_set() or self._wanting or now - self._compared >= RESYNC:
            self._moved.clear()
            self._compared = now
            self._compare(volumes, now)

    def _compare(self, volumes: list[workloads.Volume], now: float) -> None:
        claims = [workloads.claim_of(found) for found in self._claims.list()]
        disks, everywhere = self._nodes.reachable_disks()
        changes = self._mirror.changes(disks, volumes, claims, everywhere=everywhere)
        for change in self._due([*changes], now):
            self._do(change)

    def _due(self, changes: Iterable[Change], now: float) -> Iterator[Change]:
        wanting = {}
        for change in changes:
            if isinstance(change, Make | Remove):
                disk = change.disk if isinstance(change, Make) else change.volume.disk
                since = self._wanting.get(disk, now)
                wanting[disk] = since
                if now - since < self._grace:
                    continue
            yield change
        self._wanting = wanting

    def _do(self, change: Change) -> None:
        try:
            if isinstance(change, Make):
                log.info('disk "%s" has no PersistentVolume; making it', change.disk)
                self._api.create(_VOLUMES, change.manifest)
            elif isinstance(change, Remove):
                name = change.volume.name
                log.info('PersistentVolume "%s" has no disk any more; removing it', name)
                self._api.delete(f"{_VOLUMES}/{name}", change.volume.version)
            elif isinstance(change, Correct):
                name = change.volume.name
                log.info('PersistentVolume "%s": %s', name, change.why)
                version = {"metadata": {"resourceVersion": change.volume.version}}
                self._api.patch(f"{_VOLUMES}/{name}", {**change.patch, **version})
            else:
                self._tell(change)
        except (Conflict, NotFound) as error:
            log.info("not done, as the object is another by now: %s", error)
        except DiskError as error:
            log.warning("not done: %s", error)

    def _tell(self, told: Tell) -> None:
        kind = "PersistentVolumeClaim"
        about = told.claim.reference
        self._events.warn(kind, about, told.reason, told.message, topic=told.message)
