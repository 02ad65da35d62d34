"""Keeps leases true to the pods: renews, passes on what a gone pod held, tells who waits why.

The node's kubelet and the attach-detach controller keep a volume attached when the next pod comes
before it was detached: then nobody calls ControllerPublishVolume for that pod.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller import workloads
from controller.cluster_events import Events
from controller.holders import NODE, Holders
from controller.lease import Claim, Lease
from controller.leases import Leases
from controller.parameters import Attributes
from controller.workloads import Pod, Volume
from csi.disk import DEFAULT_LEASE_TIMEOUT
from csi.errors import DiskError, InvalidRequest, LeaseExpired, LeaseHeld

log = logging.getLogger(__name__)

RENEWALS = timedelta(seconds=10)
"""One lease is renewed so often, whichever was for longest not: 6 writes a minute at most."""

SEEN = timedelta(seconds=30)
"""After that a pod is in the list of pods, or gone."""

ASKED = timedelta(minutes=1)
"""A pod that waits is noted anew so often: the record costs a write each time."""


@dataclass(frozen=True, slots=True)
class _Use:
    """A disk with a lease, its volume, and the pods that want it."""

    lease: Lease
    volume: Volume
    pods: Sequence[Pod]

    @property
    def holder(self) -> Pod | None:
        """The pod that holds it."""
        return next((pod for pod in self.pods if str(pod.reference) == self.lease.holder), None)


class LeaseCare:
    """Looks after the leases of one node's disks."""

    def __init__(self, leases: Leases, holders: Holders, events: Events) -> None:
        """Args: leases, holders: who holds what; events: where pods and claims are told."""
        self._leases = leases
        self._holders = holders
        self._events = events

    def look(self, volumes: Iterable[Volume], pods: Sequence[Pod], now: datetime) -> None:
        """Do what is due; raises Unavailable when the leases cannot be read."""
        # Of several volumes of a disk the one that is bound counts.
        by_disk = {one.disk: one for one in sorted(volumes, key=_rank)}
        known = {str(pod.reference) for pod in pods}
        held = []
        for lease in self._leases.list():
            try:
                if gone := _gone(lease, known, now):
                    self._leases.stop_waiting(lease.disk, gone)
                volume = by_disk.get(lease.disk)
                if volume is None or volume.claim is None or not lease.holder or lease.shared:
                    continue
                use = _Use(lease, volume, workloads.users(pods, volume.claim))
                if use.holder is None:
                    self._pass_on(use)
                else:
                    self._tell_waiting(use, now)
                    held.append(lease)
            except DiskError as error:
                log.warning('the lease of disk "%s" is looked at later: %s', lease.disk, error)
        self._renew(held, now)

    def _pass_on(self, use: _Use) -> None:
        """Let the next pod hold what a pod held that is gone, while the node keeps the volume."""
        lease = use.lease
        there = [pod for pod in use.pods if pod.node == lease.node]
        # The pods were seen a while ago, the holder may be newer.
        if there and self._holders.is_gone(lease.holder, lease.disk, lease.node):
            heir = min(there, key=lambda pod: pod.deleting)
            self._leases.acquire(replace(_claim(use, heir), heir_of=lease.holder))

    def _tell_waiting(self, use: _Use, now: datetime) -> None:
        for pod in use.pods:
            if str(pod.reference) != use.lease.holder and not pod.deleting:
                self._tell(use, pod, now)

    def _tell(self, use: _Use, pod: Pod, now: datetime) -> None:
        claim = _claim(use, pod)
        known = next((one for one in use.lease.waiting if one.holder == claim.holder), None)
        try:
            if known is None or now - known.asked >= ASKED:
                self._leases.wait(claim)
            else:
                self._leases.refuse(use.lease, claim)
        except (LeaseHeld, LeaseExpired) as refusal:
            reason = "DiskHeld" if isinstance(refusal, LeaseHeld) else "LeaseTimeout"
            topic = f"{use.lease.disk} {use.lease.holder}"
            tell = self._events.warn
            tell("Pod", pod.reference, reason, str(refusal), topic=topic)
            if use.volume.claim:
                owner = use.volume.claim
                tell("PersistentVolumeClaim", owner, reason, str(refusal), topic=topic)

    def _renew(self, held: Sequence[Lease], now: datetime) -> None:
        times = {lease.disk: lease.renew_time or now for lease in held}
        if any(timedelta(0) <= now - time < RENEWALS for time in times.values()) or not held:
            return
        oldest = min(held, key=lambda lease: times[lease.disk])
        self._leases.renew(oldest.disk, oldest.holder)


def _rank(volume: Volume) -> tuple[bool, bool]:
    return volume.claim is not None, volume.phase == "Bound"


def _gone(lease: Lease, pods: Collection[str], now: datetime) -> set[str]:
    """Return the pods that wait in a lease and are no more."""
    return {
        one.holder
        for one in lease.waiting
        # One that asked just now may be newer than the list of pods.
        if now - one.asked > SEEN and one.holder not in pods and not one.holder.startswith(NODE)
    }


def _claim(use: _Use, pod: Pod) -> Claim:
    try:
        timeout = Attributes(use.volume.wish).lease_timeout
    except InvalidRequest:
        timeout = None
    return Claim(
        disk=use.lease.disk,
        holder=str(pod.reference),
        node=use.lease.node,
        read_only=use.lease.read_only,
        timeout=timeout or DEFAULT_LEASE_TIMEOUT,
    )
