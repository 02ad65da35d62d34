"""Leader election: one leads, the next one only when the first is certain not to."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.leader import DURATION, RENEW, LeaderElection
from csi.errors import NotFound
from csi.kubernetes_api import Object
from tests.unit.controller.memory_api import MemoryApi

LEASES = "/apis/coordination.k8s.io/v1/namespaces/miren-system/leases"
NAME = "miren-csi-coordinator"


@dataclass(slots=True)
class Ticks:
    """Seconds that only go forward, as a test says."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def candidate(api: MemoryApi, ticks: Ticks, identity: str) -> LeaderElection:
    return LeaderElection(api, "miren-system", NAME, identity, monotonic=ticks)


@pytest.fixture
def one(api: MemoryApi, ticks: Ticks) -> LeaderElection:
    return candidate(api, ticks, "pod-1")


@pytest.fixture
def two(api: MemoryApi, ticks: Ticks) -> LeaderElection:
    return candidate(api, ticks, "pod-2")


def spec(api: MemoryApi) -> Object:
    found: Object = api.get(f"{LEASES}/{NAME}")["spec"]
    return found


def first_lead(ticks: Ticks, who: LeaderElection, within: float) -> float:
    """After how many seconds of standing every second somebody leads."""
    began = ticks.now
    while not who.stand():
        ticks.now += 1
        assert ticks.now - began <= within
    return ticks.now - began


def test_the_first_candidate_leads_at_once(api: MemoryApi, one: LeaderElection) -> None:
    assert not one.is_leader
    assert one.stand()

    assert one.is_leader
    record = spec(api)
    assert record["holderIdentity"] == "pod-1"
    assert (record["leaseDurationSeconds"], record["leaseTransitions"]) == (30, 0)
    assert record["acquireTime"] == record["renewTime"]
    assert datetime.fromisoformat(record["renewTime"]).tzinfo is UTC


def test_a_leader_that_renews_is_never_overtaken(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    acquired = spec(api)["acquireTime"]
    for _ in range(600):
        ticks.now += 1
        assert one.stand()
        assert not two.stand()

    record = spec(api)
    assert (record["acquireTime"], record["leaseTransitions"]) == (acquired, 0)
    assert record["renewTime"] > acquired


def test_leading_costs_a_write_in_ten_seconds_and_waiting_none(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    api.calls.clear()
    for _ in range(600):
        ticks.now += 1
        one.stand()
    assert (api.count("replace"), api.count("get", "create", "patch")) == (60, 60)

    api.calls.clear()
    for _ in range(20):
        ticks.now += 1
        two.stand()
    assert (len(api.calls), api.count("get")) == (2, 2)


def test_a_dead_leaders_record_must_be_seen_for_its_whole_duration(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    ticks.now += 1000  # nobody looked meanwhile: the leader may just have renewed

    assert first_lead(ticks, two, within=DURATION + RENEW) == DURATION
    record = spec(api)
    assert (record["holderIdentity"], record["leaseTransitions"]) == ("pod-2", 1)
    assert not one.is_leader
    assert not one.stand()


def test_a_renewal_in_the_last_moment_counts(
    ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    two.stand()
    ticks.now += DURATION - 1
    one.stand()
    ticks.now += 1

    assert not two.stand()
    assert one.is_leader
    assert first_lead(ticks, two, within=DURATION + RENEW) == DURATION


def test_each_takeover_is_counted(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    first_lead(ticks, two, within=DURATION + RENEW)
    first_lead(ticks, one, within=DURATION + RENEW)

    assert spec(api)["leaseTransitions"] == 2


def test_a_leader_that_was_replaced_leads_no_more_and_says_so(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        one.stand()
        ticks.now += RENEW
        one.stand()
        api.patch(f"{LEASES}/{NAME}", {"spec": {"holderIdentity": "by-hand"}})
        ticks.now += RENEW

        assert not one.stand()
    assert caplog.messages == ["leading from now on", "leading no more"]


def test_who_is_outrun_when_taking_over_does_not_lead(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    three = candidate(api, ticks, "pod-3")
    one.stand()
    for _ in range(2):
        two.stand()
        three.stand()
        ticks.now += DURATION
    won = []
    api.outrun("replace", lambda: won.append(three.stand()))

    assert not two.stand()
    assert won == [True]
    assert spec(api)["holderIdentity"] == "pod-3"


def test_who_is_outrun_at_the_very_first_does_not_lead(
    api: MemoryApi, one: LeaderElection, two: LeaderElection
) -> None:
    won = []
    api.outrun("create", lambda: won.append(two.stand()))

    assert not one.stand()
    assert won == [True]


def test_a_change_by_somebody_else_does_not_cost_the_lead(
    api: MemoryApi, ticks: Ticks, one: LeaderElection
) -> None:
    one.stand()
    ticks.now += RENEW
    label = {"metadata": {"labels": {"team": "shop"}}}
    api.outrun("replace", lambda: api.patch(f"{LEASES}/{NAME}", label))

    assert one.stand()
    ticks.now += RENEW
    assert one.stand()
    assert api.get(f"{LEASES}/{NAME}")["metadata"]["labels"] == {"team": "shop"}
    assert spec(api)["leaseTransitions"] == 0


def test_a_leader_leads_through_a_short_outage_and_not_through_a_long_one(
    api: MemoryApi, ticks: Ticks, one: LeaderElection
) -> None:
    one.stand()
    api.fail()
    for _ in range(int(DURATION) - 1):
        ticks.now += 1
        assert one.stand()
    ticks.now += 1
    assert not one.is_leader
    assert not one.stand()

    api.fail(away=False)
    first_lead(ticks, one, within=RENEW)
    assert spec(api)["leaseTransitions"] == 0


def test_an_outage_is_no_reason_to_take_over(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    two.stand()
    api.fail()
    ticks.now += DURATION - RENEW
    two.stand()
    api.fail(away=False)
    one.stand()
    ticks.now += RENEW

    assert not two.stand()


def test_a_record_that_was_deleted_is_made_anew(
    api: MemoryApi, ticks: Ticks, one: LeaderElection
) -> None:
    one.stand()
    api.remove(f"{LEASES}/{NAME}")
    ticks.now += RENEW

    assert one.stand()
    assert spec(api)["holderIdentity"] == "pod-1"


def test_who_resigns_lets_the_next_one_lead_at_once(
    api: MemoryApi, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    one.resign()

    assert not one.is_leader
    assert not spec(api).get("holderIdentity")
    assert two.stand()
    assert spec(api)["leaseTransitions"] == 1


def test_only_a_leader_has_something_to_resign(
    api: MemoryApi, ticks: Ticks, one: LeaderElection, two: LeaderElection
) -> None:
    one.stand()
    two.stand()
    api.calls.clear()
    two.resign()
    assert api.calls == []

    api.patch(f"{LEASES}/{NAME}", {"spec": {"holderIdentity": "by-hand"}})
    ticks.now += 1
    one.resign()
    assert spec(api)["holderIdentity"] == "by-hand"


@pytest.mark.parametrize("trouble", ["away", "deleted", "outrun"])
def test_that_nobody_can_be_told_of_a_resignation_is_no_harm(
    api: MemoryApi, one: LeaderElection, trouble: str
) -> None:
    one.stand()
    if trouble == "away":
        api.fail()
    elif trouble == "deleted":
        api.remove(f"{LEASES}/{NAME}")
    else:
        api.outrun("replace", lambda: api.patch(f"{LEASES}/{NAME}", {"metadata": {"labels": {}}}))

    one.resign()

    assert not one.is_leader


def test_a_namespace_that_is_not_there_yet_is_waited_for(
    api: MemoryApi, ticks: Ticks, one: LeaderElection
) -> None:
    def missing() -> None:
        raise NotFound('namespaces "miren-system" not found')

    api.outrun("create", missing)
    assert not one.stand()

    ticks.now += RENEW
    assert one.stand()


class AnyCandidates(RuleBasedStateMachine):
    """Candidates stand, die and resign as they like: no two of them lead."""

    @initialize()
    def begin(self) -> None:
        self.api = MemoryApi()
        self.ticks = Ticks()
        self.candidates = [candidate(self.api, self.ticks, name) for name in "abc"]

    @rule(who=st.integers(0, 2))
    def stand(self, who: int) -> None:
        self.candidates[who].stand()

    @rule(who=st.integers(0, 2))
    def resign(self, who: int) -> None:
        self.candidates[who].resign()

    @rule(who=st.integers(0, 2), other=st.integers(0, 2))
    def race(self, who: int, other: int) -> None:
        self.api.outrun("replace", self.candidates[other].stand)
        self.candidates[who].stand()

    @rule(seconds=st.sampled_from([1, 5, 10, 19, 29, 30, 31]))
    def time_passes(self, seconds: float) -> None:
        self.ticks.now += seconds

    @rule(away=st.booleans())
    def outage(self, away: bool) -> None:
        self.api.fail(away=away)

    @invariant()
    def one_leads_at_most(self) -> None:
        leaders = [one for one in getattr(self, "candidates", []) if one.is_leader]
        assert len(leaders) <= 1


TestAnyCandidates = AnyCandidates.TestCase
TestAnyCandidates.settings = settings(max_examples=100, stateful_step_count=40)
