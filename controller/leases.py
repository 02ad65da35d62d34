"""The leases of all disks: the rules of `controller.lease` over a store that keeps the records."""

import builtins
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Protocol

from controller import lease as rules
from controller.lease import Claim, Lease, LeaseState
from csi.errors import DiskInUse

Change = Callable[[Lease | None], Lease | None]


class LeaseStore(Protocol):
    """Keeps one record for each disk. Every verb raises Unavailable when the store cannot serve."""

    def read(self, disk: str) -> Lease | None:
        """Return the disk's lease, None when it never had one."""

    def list(self) -> list[Lease]:
        """Return all leases, sorted by disk."""

    def update(self, disk: str, change: Change) -> Lease | None:
        """Replace the disk's lease by what `change` makes of it, and return that.

        No other update of this lease happens in between, from any process: `change` is called
        with the record as it is, maybe several times until it could be stored, so it must have
        no effects. None as its result removes the record. What it raises goes through, and then
        nothing is changed.
        """

    def delete(self, disk: str) -> None:
        """Remove the disk's record, if there is one."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Leases:
    """Gives disks to instances, to one at a time."""

    def __init__(self, store: LeaseStore, clock: Callable[[], datetime] = utc_now) -> None:
        """Args: store: keeps the records; clock: tells the time in UTC."""
        self._store = store
        self._clock = clock

    def acquire(self, claim: Claim) -> Lease:
        """Give the disk to the claimant; the same holder may ask again and again.

        Raises:
            LeaseHeld: somebody else holds it; the claimant is noted as waiting.
            LeaseExpired: the same, and it waited for longer than its timeout.
            Refused: it is held on another node.
            Incompatible: the claimant holds it in another manner.
        """
        now = self._clock()
        after = self._store.update(claim.disk, lambda lease: rules.grant(lease, claim, now))
        if after is None:
            raise AssertionError("a granted claim always leaves a lease")
        self.refuse(after, claim)
        return after

    def wait(self, claim: Claim) -> None:
        """Note that the claimant waits for a disk that somebody else holds.

        Raises LeaseHeld or LeaseExpired as `acquire`; returns when nobody or it itself holds it.
        """
        now = self._clock()
        after = self._store.update(claim.disk, lambda lease: rules.wait(lease, claim, now))
        if after is not None:
            self.refuse(after, claim)

    def stop_waiting(self, disk: str, holders: Collection[str]) -> None:
        """Forget that these instances wait for a disk."""
        self._store.update(disk, lambda lease: rules.stop_waiting(lease, holders))

    def refuse(self, lease: Lease, claim: Claim) -> None:
        """Raise LeaseHeld or LeaseExpired when the claimant waits in a lease."""
        refusal = rules.refusal(lease, claim, self._clock())
        if refusal is not None:
            raise refusal

    def renew(self, disk: str, holder: str) -> None:
        """Note that the holder is still there; nothing happens when it is another's by now."""
        now = self._clock()
        self._store.update(disk, lambda lease: rules.renew(lease, holder, now))

    def release(self, disk: str, node: str = "") -> Lease | None:
        """Take the disk from its holder on `node`, or on any; fine when nobody holds it there."""
        now = self._clock()
        return self._store.update(disk, lambda lease: rules.release(lease, node, now))

    def get(self, disk: str) -> Lease | None:
        """Return the disk's lease, None when it never had one."""
        lease = self._store.read(disk)
        return lease.at(self._clock()) if lease else None

    def list(self) -> builtins.list[Lease]:
        """Return the leases of all disks that ever had one, sorted by disk."""
        now = self._clock()
        return [lease.at(now) for lease in self._store.list()]

    def state(self, lease: Lease) -> LeaseState:
        """Return how a lease stands now."""
        return lease.state(self._clock())

    def longest_wait(self, lease: Lease) -> float:
        """Return for how many seconds the first of those who wait has done so; 0 if none does."""
        now = self._clock()
        return max(((now - one.since).total_seconds() for one in lease.waiting), default=0.0)

    def require_free(self, disk: str) -> None:
        """Raise DiskInUse, naming the holder, when somebody holds the disk."""
        lease = self._store.read(disk)
        if lease and lease.holder:
            raise DiskInUse(f'disk "{disk}" is {lease.held(self._clock())}; release it first')

    def forget(self, disk: str) -> None:
        """Remove the record of a disk that is gone."""
        self._store.delete(disk)
