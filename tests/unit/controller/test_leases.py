"""Leases: the rules one by one, then against a model of them under any sequence of calls."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.lease import Claim, LeaseState
from controller.leases import Leases
from csi.errors import DiskInUse, LeaseExpired, LeaseHeld
from tests.unit.controller.memory_leases import Clock, MemoryLeaseStore

DB_0 = Claim("pgdata", "default/db-0", "coordinator")
DB_1 = Claim("pgdata", "default/db-1", "coordinator")
DB_2 = Claim("pgdata", "default/db-2", "coordinator", timeout=3600)


def wait(leases: Leases, claim: Claim) -> str:
    with pytest.raises(LeaseHeld) as caught:
        leases.acquire(claim)
    return str(caught.value)


def states(leases: Leases, clock: Clock) -> tuple[LeaseState, dict[str, LeaseState]]:
    lease = leases.get("pgdata")
    assert lease is not None
    return leases.state(lease), {one.holder: one.state(clock()) for one in lease.waiting}


def test_the_record_is_that_of_a_kubernetes_lease(leases: Leases, clock: Clock) -> None:
    began = clock()
    leases.acquire(DB_0)
    clock.pass_by(seconds=30)
    lease = leases.acquire(DB_0)

    assert (lease.holder, lease.node) == ("default/db-0", "coordinator")
    assert lease.acquire_time == began
    assert lease.renew_time == began + timedelta(seconds=30)
    assert lease.transitions == 0


def test_it_stays_after_release_and_counts_its_holders(leases: Leases, clock: Clock) -> None:
    leases.acquire(DB_0)
    clock.pass_by(minutes=1)
    leases.release("pgdata")

    lease = leases.get("pgdata")
    assert lease is not None
    assert lease.holder == lease.node == ""
    assert lease.renew_time == clock()
    assert leases.state(lease) is LeaseState.RELEASED
    assert leases.acquire(DB_1).transitions == 1
    leases.release("pgdata")
    leases.release("pgdata")
    assert leases.acquire(DB_1).transitions == 2


def test_states_from_wait_to_failure(leases: Leases, clock: Clock) -> None:
    assert leases.get("pgdata") is None
    leases.acquire(DB_0)
    wait(leases, DB_1)
    assert states(leases, clock) == (LeaseState.BOUND, {DB_1.holder: LeaseState.PENDING})

    leases.release("pgdata")
    assert states(leases, clock) == (LeaseState.PENDING, {DB_1.holder: LeaseState.PENDING})

    clock.pass_by(minutes=6)
    assert states(leases, clock) == (LeaseState.FAILED, {DB_1.holder: LeaseState.FAILED})

    leases.acquire(DB_1)
    assert states(leases, clock) == (LeaseState.BOUND, {})


def test_a_failed_wait_stays_failed_until_the_disk_is_free(leases: Leases, clock: Clock) -> None:
    leases.acquire(DB_0)
    wait(leases, DB_1)
    wait(leases, DB_2)
    for _ in range(3):
        clock.pass_by(minutes=4)
        wait(leases, DB_2)
        if clock() > Clock().now + timedelta(minutes=5):
            with pytest.raises(LeaseExpired, match="default/db-1 waited longer"):
                leases.acquire(DB_1)
    assert states(leases, clock)[1] == {
        DB_1.holder: LeaseState.FAILED,
        DB_2.holder: LeaseState.PENDING,
    }

    leases.release("pgdata")
    leases.acquire(DB_1)


def test_the_wait_counts_from_the_first_attempt(leases: Leases, clock: Clock) -> None:
    leases.acquire(DB_0)
    wait(leases, DB_1)
    clock.pass_by(minutes=5)
    wait(leases, DB_1)
    clock.pass_by(seconds=1)
    with pytest.raises(LeaseExpired):
        leases.acquire(DB_1)


def test_who_gave_up_begins_anew(leases: Leases, clock: Clock) -> None:
    leases.acquire(DB_0)
    wait(leases, DB_1)
    clock.pass_by(minutes=11)

    assert states(leases, clock) == (LeaseState.BOUND, {})
    wait(leases, DB_1)


def test_waiting_gives_no_right_over_others(leases: Leases) -> None:
    leases.acquire(DB_0)
    wait(leases, DB_1)
    leases.release("pgdata")

    leases.acquire(DB_2)

    told = wait(leases, DB_1)
    assert told == 'disk "pgdata" is held by default/db-2, since 1s; waiting up to 5m'


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ({"milliseconds": 1}, "1s"),
        ({"seconds": 125}, "2m5s"),
        ({"hours": 49, "seconds": 59}, "49h"),
        ({"hours": -1}, "1s"),
    ],
)
def test_times_are_told_as_people_say_them(
    leases: Leases, clock: Clock, span: dict[str, float], words: str
) -> None:
    leases.acquire(DB_0)
    clock.pass_by(**span)

    assert f"since {words};" in wait(leases, DB_1)


def test_a_clock_set_back_only_makes_the_wait_longer(leases: Leases, clock: Clock) -> None:
    leases.acquire(DB_0)
    wait(leases, DB_1)
    clock.pass_by(hours=-2)

    wait(leases, DB_1)


def test_require_free_names_the_holder(leases: Leases) -> None:
    leases.require_free("pgdata")
    leases.acquire(DB_0)

    with pytest.raises(DiskInUse, match="held by default/db-0, since 1s; release it first"):
        leases.require_free("pgdata")
    leases.release("pgdata", "worker")
    with pytest.raises(DiskInUse):
        leases.require_free("pgdata")
    leases.release("pgdata", "coordinator")
    leases.require_free("pgdata")


def test_disks_have_leases_of_their_own(leases: Leases) -> None:
    leases.acquire(DB_0)
    leases.acquire(Claim("uploads", "default/db-0", "coordinator"))

    assert [lease.disk for lease in leases.list()] == ["pgdata", "uploads"]
    leases.forget("pgdata")
    assert [lease.disk for lease in leases.list()] == ["uploads"]


@dataclass(slots=True)
class Expected:
    """What should be true of one disk's lease."""

    holder: str | None = None
    acquired: int = 0
    waits: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Since when, and when last asked."""


class AnySequence(RuleBasedStateMachine):
    """Instances come, wait and go as they like; at no moment do two of them have a disk."""

    TIMEOUT = 300.0
    GIVEN_UP = 600.0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.leases = Leases(MemoryLeaseStore(), self.clock)
        self.now = 0.0
        self.expected = {"a": Expected(), "b": Expected()}
        self.believers: dict[str, set[str]] = {"a": set(), "b": set()}

    @rule(disk=st.sampled_from("ab"), instance=st.sampled_from(["i/0", "i/1", "i/2"]))
    def acquire(self, disk: str, instance: str) -> None:
        outcome = self._expect(self.expected[disk], instance)
        claim = Claim(disk, instance, "n", timeout=self.TIMEOUT)
        if outcome is not None:
            with pytest.raises(outcome, match=f"held by {self.expected[disk].holder}"):
                self.leases.acquire(claim)
            return
        lease = self.leases.acquire(claim)
        self.believers[disk].add(instance)
        assert lease.holder == instance

    def _expect(self, disk: Expected, instance: str) -> type[Exception] | None:
        disk.waits = {
            name: wait for name, wait in disk.waits.items() if self.now - wait[1] <= self.GIVEN_UP
        }
        if disk.holder is None:
            disk.holder = instance
            disk.acquired += 1
        if disk.holder == instance:
            disk.waits.pop(instance, None)
            return None
        since, _ = disk.waits.get(instance, (self.now, self.now))
        disk.waits[instance] = (since, self.now)
        return LeaseExpired if self.now - since > self.TIMEOUT else LeaseHeld

    @rule(disk=st.sampled_from("ab"), node=st.sampled_from(["", "n"]))
    def release(self, disk: str, node: str) -> None:
        self.leases.release(disk, node)
        self.expected[disk].holder = None
        self.believers[disk].clear()

    @rule(disk=st.sampled_from("ab"))
    def release_elsewhere(self, disk: str) -> None:
        self.leases.release(disk, "another-node")

    @rule(disk=st.sampled_from("ab"))
    @precondition(lambda self: not any(self.believers.values()))
    def delete_the_disk(self, disk: str) -> None:
        self.leases.forget(disk)
        self.expected[disk] = Expected()

    @rule(seconds=st.sampled_from([1, 60, 299, 301, 601]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_by(seconds=seconds)
        self.now += seconds

    @invariant()
    def nobody_shares(self) -> None:
        assert all(len(those) <= 1 for those in self.believers.values())

    @invariant()
    def the_record_is_right(self) -> None:
        for name, expected in self.expected.items():
            lease = self.leases.get(name)
            holder = (lease.holder or None) if lease else None
            assert holder == expected.holder
            assert (lease.transitions + 1 if lease else 0) == expected.acquired


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=30)
