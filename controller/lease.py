"""What a lease is: its holder, who waits for it, and the rules by which it changes hands.

The fields are those of a coordination.k8s.io/v1 Lease. Everything here is a pure function of the
record and the time: the stores decide how a change becomes atomic and durable.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from csi.disk import DEFAULT_LEASE_TIMEOUT
from csi.duration import format_duration
from csi.errors import DiskError, Incompatible, LeaseExpired, LeaseHeld, Refused

GIVEN_UP = timedelta(minutes=10)
"""An instance that has not asked for so long waits no more.

external-attacher asks again after at most 5 minutes (its --retry-interval-max).
"""


class LeaseState(StrEnum):
    """How a disk's lease stands, or one instance's wait for it."""

    PENDING = "pending"
    """Nobody holds it and somebody waits for it."""
    BOUND = "bound"
    RELEASED = "released"
    FAILED = "failed"
    """Nobody holds it, and who waited did so for longer than its lease_timeout."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance's wish to hold a disk."""

    disk: str
    holder: str
    """`namespace/pod`, or `node/<id>` where the pod is not known or many may share the disk."""
    node: str
    read_only: bool = False
    shared: bool = False
    """Whether several workloads of the node may use the disk at once (multi-writer modes)."""
    timeout: float = DEFAULT_LEASE_TIMEOUT
    """Seconds to wait while somebody else holds the disk."""
    heir_of: str = ""
    """A holder on the same node that is gone for good: its lease passes on."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An instance that asked for a disk while another one held it."""

    holder: str
    since: datetime
    """When it asked first."""
    asked: datetime
    """When it asked last."""
    timeout: float
    """Seconds that it waits, counted from `since`."""

    def state(self, now: datetime) -> LeaseState:
        """Return PENDING, or FAILED once the wait was too long."""
        waited = (now - self.since).total_seconds()
        return LeaseState.FAILED if waited > self.timeout else LeaseState.PENDING


@dataclass(frozen=True, slots=True)
class Lease:
    """The record of one disk's holders; it stays when the disk is released. Times are UTC."""

    disk: str
    holder: str = ""
    """holderIdentity: `namespace/pod`, `node/<id>`, or empty when nobody holds it."""
    node: str = ""
    acquire_time: datetime | None = None
    """acquireTime: when the present or last holder got it."""
    renew_time: datetime | None = None
    """renewTime: when the holder last asked for it, or released it."""
    transitions: int = 0
    """leaseTransitions: how often it was acquired after the first time."""
    read_only: bool = False
    shared: bool = False
    waiting: tuple[Waiting, ...] = ()
    """In the order of their first attempts."""

    def state(self, now: datetime) -> LeaseState:
        """Return how the lease stands."""
        if self.holder:
            return LeaseState.BOUND
        waits = {one.state(now) for one in self.waiting}
        if LeaseState.PENDING in waits:
            return LeaseState.PENDING
        return LeaseState.FAILED if waits else LeaseState.RELEASED

    def at(self, now: datetime) -> "Lease":
        """Return the lease without those who gave up waiting."""
        still = tuple(one for one in self.waiting if now - one.asked <= GIVEN_UP)
        return self if still == self.waiting else replace(self, waiting=still)

    def held(self, now: datetime) -> str:
        """Say who holds the lease and for how long, as part of a sentence."""
        return f"held by {self.holder}, since {_span(now, self.acquire_time or now)}"


def grant(lease: Lease | None, claim: Claim, now: datetime) -> Lease:
    """Return the lease after a claim: bound to the claimant if it was free, else with its wait.

    A holder that claims again renews, and an heir takes over.

    Raises:
        Refused: it is held on another node (spec: "Volume published to another node").
        Incompatible: the claimant holds it, but read-only or shared in another way.
    """
    lease = (lease or Lease(claim.disk)).at(now)
    if not lease.holder:
        return _bind(lease, claim, now)
    if lease.node != claim.node:
        raise Refused(
            f'disk "{lease.disk}" is {lease.held(now)}, on node "{lease.node}"; '
            f'it must be released there before node "{claim.node}" can have it'
        )
    if lease.holder == claim.heir_of:
        return _bind(lease, claim, now)
    if lease.holder != claim.holder:
        return _wait(lease, claim, now)
    if (lease.read_only, lease.shared) != (claim.read_only, claim.shared):
        raise Incompatible(
            f'disk "{lease.disk}" is {lease.held(now)}, {_manner(lease)}; '
            f"it must be released before it can be had {_manner(claim)}"
        )
    return replace(lease, renew_time=now)


def wait(lease: Lease | None, claim: Claim, now: datetime) -> Lease | None:
    """Return the lease with the claimant's wait, if somebody else holds it."""
    if lease is None or lease.holder in {"", claim.holder}:
        return lease
    return _wait(lease.at(now), claim, now)


def stop_waiting(lease: Lease | None, holders: Collection[str]) -> Lease | None:
    """Return the lease without the waits of `holders`."""
    if lease is None:
        return None
    still = tuple(one for one in lease.waiting if one.holder not in holders)
    return lease if still == lease.waiting else replace(lease, waiting=still)


def renew(lease: Lease | None, holder: str, now: datetime) -> Lease | None:
    """Return the lease renewed, if `holder` holds it."""
    if lease is None or lease.holder != holder:
        return lease
    return replace(lease, renew_time=now)


def refusal(lease: Lease, claim: Claim, now: datetime) -> DiskError | None:
    """Return why a claim has to wait or waited too long, None when it got the lease."""
    mine = next((one for one in lease.waiting if one.holder == claim.holder), None)
    if mine is None or not lease.holder:
        return None
    told = f'disk "{lease.disk}" is {lease.held(now)}'
    timeout = format_duration(mine.timeout)
    if mine.state(now) is LeaseState.PENDING:
        return LeaseHeld(f"{told}; waiting up to {timeout}")
    return LeaseExpired(
        f"{told}; {claim.holder} waited longer than its lease_timeout of {timeout}: "
        "stop the holder, or raise lease_timeout"
    )


def release(lease: Lease | None, node: str, now: datetime) -> Lease | None:
    """Return the lease without its holder, if that one is on `node` (empty: on any).

    Who waits goes on waiting, and the record stays: a later holder counts as a transition.
    """
    if lease is None or not lease.holder or node not in {"", lease.node}:
        return lease
    free = replace(lease, holder="", node="", read_only=False, shared=False, renew_time=now)
    return free.at(now)


def _bind(lease: Lease, claim: Claim, now: datetime) -> Lease:
    return Lease(
        disk=claim.disk,
        holder=claim.holder,
        node=claim.node,
        acquire_time=now,
        renew_time=now,
        transitions=lease.transitions + (1 if lease.acquire_time else 0),
        read_only=claim.read_only,
        shared=claim.shared,
        waiting=tuple(one for one in lease.waiting if one.holder != claim.holder),
    )


def _wait(lease: Lease, claim: Claim, now: datetime) -> Lease:
    known = {one.holder: one for one in lease.waiting}
    since = known[claim.holder].since if claim.holder in known else now
    known[claim.holder] = Waiting(claim.holder, since=since, asked=now, timeout=claim.timeout)
    return replace(lease, waiting=tuple(known.values()))


def _manner(how: Lease | Claim) -> str:
    return ("read-only" if how.read_only else "writable") + (" and shared" if how.shared else "")


def _span(now: datetime, since: datetime) -> str:
    seconds = round((now - since).total_seconds())
    # Clocks may be set back, and nobody cares for the seconds of a span of hours.
    return format_duration(max(1, seconds if seconds < 3600 else seconds - seconds % 60))
