"""A lease passes on from a holder that is gone, and only from that one: rules and publishing."""

import logging

import pytest

from controller.holders import PodHolders
from controller.lease import Claim, Lease, LeaseState
from controller.leases import Leases
from controller.nodes import Nodes
from controller.service import ControllerService
from csi.errors import LeaseExpired, LeaseHeld, Refused, Unavailable
from tests.unit.controller.asking import (
    MODE,
    NODE,
    ask,
    block,
    create,
    mount,
    publish,
    refusal,
)
from tests.unit.controller.cluster_objects import VOLUMES, pod, pods_of, volume
from tests.unit.controller.known_holders import KnownHolders
from tests.unit.controller.memory_api import MemoryApi
from tests.unit.controller.memory_leases import Clock
from tests.unit.controller.memory_pool import MemoryPool

DB_0 = "default/db-0"
DB_1 = "default/db-1"


def claim(holder: str, heir_of: str = "", node: str = NODE) -> Claim:
    return Claim("pgdata", holder, node, heir_of=heir_of)


def held(leases: Leases) -> Lease:
    lease = leases.get("pgdata")
    assert lease is not None
    return lease


# rules


def test_an_heir_takes_over_and_counts_as_a_new_holder(leases: Leases, clock: Clock) -> None:
    leases.acquire(claim(DB_0))
    with pytest.raises(LeaseHeld):
        leases.acquire(claim("default/db-2"))
    with pytest.raises(LeaseHeld):
        leases.acquire(claim(DB_1))
    clock.pass_by(minutes=1)

    lease = leases.acquire(claim(DB_1, heir_of=DB_0))

    assert (lease.holder, lease.node, lease.transitions) == (DB_1, NODE, 1)
    assert lease.acquire_time == lease.renew_time == clock()
    assert [one.holder for one in lease.waiting] == ["default/db-2"]


def test_an_heir_of_somebody_else_waits(leases: Leases) -> None:
    leases.acquire(claim(DB_0))

    with pytest.raises(LeaseHeld, match="held by default/db-0"):
        leases.acquire(claim(DB_1, heir_of="default/db-2"))


def test_who_inherits_from_nobody_takes_nothing(leases: Leases) -> None:
    leases.acquire(claim(DB_0))
    leases.release("pgdata")

    assert leases.acquire(claim(DB_1, heir_of=DB_0)).transitions == 1
    with pytest.raises(LeaseHeld):
        leases.acquire(claim(DB_0))


def test_nobody_inherits_from_another_node(leases: Leases) -> None:
    leases.acquire(claim(DB_0, node="worker"))

    with pytest.raises(Refused, match='on node "worker"'):
        leases.acquire(claim(DB_1, heir_of=DB_0))


def test_a_wait_is_noted_only_while_somebody_else_holds_the_disk(
    leases: Leases, clock: Clock
) -> None:
    leases.wait(claim(DB_1))
    assert leases.get("pgdata") is None

    leases.acquire(claim(DB_0))
    leases.wait(claim(DB_0))
    assert held(leases).waiting == ()
    with pytest.raises(LeaseHeld, match=r"held by default/db-0, since 1s; waiting up to 5m"):
        leases.wait(claim(DB_1))
    clock.pass_by(minutes=5, seconds=1)
    with pytest.raises(LeaseExpired, match="default/db-1 waited longer"):
        leases.wait(claim(DB_1))

    leases.release("pgdata")
    leases.wait(claim("default/db-2"))
    assert [one.holder for one in held(leases).waiting] == [DB_1]
    assert leases.state(held(leases)) is LeaseState.FAILED


def test_a_wait_takes_nothing_even_as_an_heir(leases: Leases) -> None:
    leases.acquire(claim(DB_0))

    with pytest.raises(LeaseHeld):
        leases.wait(claim(DB_1, heir_of=DB_0))
    assert held(leases).holder == DB_0


def test_who_gave_up_is_forgotten_when_the_next_one_waits(leases: Leases, clock: Clock) -> None:
    leases.acquire(claim(DB_0))
    with pytest.raises(LeaseHeld):
        leases.wait(claim(DB_1))
    clock.pass_by(minutes=11)
    with pytest.raises(LeaseHeld):
        leases.wait(claim(DB_1))

    (waiting,) = held(leases).waiting
    assert waiting.since == clock()


def test_who_stops_waiting_is_forgotten_and_nobody_else(leases: Leases) -> None:
    leases.stop_waiting("pgdata", {DB_1})
    assert leases.get("pgdata") is None

    leases.acquire(claim(DB_0))
    for name in (DB_1, "default/db-2"):
        with pytest.raises(LeaseHeld):
            leases.wait(claim(name))
    leases.stop_waiting("pgdata", {DB_0, DB_1})

    assert held(leases).holder == DB_0
    assert [one.holder for one in held(leases).waiting] == ["default/db-2"]


def test_only_the_holder_is_renewed(leases: Leases, clock: Clock) -> None:
    leases.renew("pgdata", DB_0)
    assert leases.get("pgdata") is None

    leases.acquire(claim(DB_0))
    began = clock()
    clock.pass_by(minutes=1)
    leases.renew("pgdata", DB_1)
    assert held(leases).renew_time == began

    leases.renew("pgdata", DB_0)
    assert (held(leases).acquire_time, held(leases).renew_time) == (began, clock())
    leases.release("pgdata")
    clock.pass_by(minutes=1)
    leases.renew("pgdata", DB_0)
    assert held(leases).renew_time != clock()


# publishing


@pytest.fixture
def holders() -> KnownHolders:
    return KnownHolders()


@pytest.fixture
def controller(pool: MemoryPool, leases: Leases, holders: KnownHolders) -> ControllerService:
    controller = ControllerService(Nodes.single(NODE, pool), leases, holders=holders)
    ask(controller.CreateVolume, create("pgdata"))
    return controller


def test_the_pod_is_asked_for_where_the_call_does_not_name_it(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    holders.pods["pgdata"] = DB_1

    ask(controller.ControllerPublishVolume, publish(pod=""))
    assert held(leases).holder == DB_1

    leases.release("pgdata")
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    assert held(leases).holder == DB_0


def test_a_node_holds_what_many_pods_may_share_whoever_asks(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    holders.pods["pgdata"] = DB_1

    many = block(mode=MODE.SINGLE_NODE_MULTI_WRITER)
    ask(controller.ControllerPublishVolume, publish(pod="", volume_capability=many))

    assert (held(leases).holder, held(leases).shared) == ("node/coordinator", True)


def test_the_lease_of_a_gone_holder_passes_on_at_once(
    controller: ControllerService,
    leases: Leases,
    holders: KnownHolders,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    holders.gone.add(DB_0)

    with caplog.at_level(logging.INFO):
        ask(controller.ControllerPublishVolume, publish(pod="db-1"))

    lease = held(leases)
    assert (lease.holder, lease.transitions, lease.waiting) == (DB_1, 1, ())
    assert (
        'disk "pgdata" passes from default/db-0, which is gone, to default/db-1' in caplog.messages
    )


def test_the_lease_of_a_gone_holder_passes_on_after_any_wait(
    controller: ControllerService, leases: Leases, holders: KnownHolders, clock: Clock
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-1"))
    clock.pass_by(minutes=6)
    refusal(LeaseExpired, controller.ControllerPublishVolume, publish(pod="db-1"))
    holders.gone.add(DB_0)

    ask(controller.ControllerPublishVolume, publish(pod="db-1"))

    assert held(leases).holder == DB_1


def test_a_holder_that_is_there_is_waited_for(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    holders.gone |= {"", DB_1, "default/db-2"}

    told = refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-1"))

    assert told == 'disk "pgdata" is held by default/db-0, since 1s; waiting up to 5m'
    assert held(leases).holder == DB_0
    assert [one.holder for one in held(leases).waiting] == [DB_1]


def test_who_comes_between_is_not_overtaken(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    holders.gone.add(DB_0)

    def another_comes() -> None:
        leases.release("pgdata")
        leases.acquire(claim("default/db-2"))

    holders.meanwhile = another_comes

    told = refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-1"))

    assert "held by default/db-2" in told
    assert held(leases).holder == "default/db-2"


def test_a_gone_holder_on_another_node_must_be_unpublished_there(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    leases.acquire(claim(DB_0, node="worker"))
    holders.gone.add(DB_0)

    told = refusal(Refused, controller.ControllerPublishVolume, publish(pod="db-1"))

    assert 'on node "worker"; it must be released there' in told
    assert held(leases).holder == DB_0


def test_while_nobody_knows_whether_a_holder_is_gone_it_is_there(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))

    def away() -> None:
        raise Unavailable("the API server cannot be reached")

    holders.gone.add(DB_0)
    holders.meanwhile = away
    refusal(Unavailable, controller.ControllerPublishVolume, publish(pod="db-1"))

    assert held(leases).holder == DB_0


def test_without_a_cluster_no_holder_is_gone(pool: MemoryPool, leases: Leases) -> None:
    controller = ControllerService(Nodes.single(NODE, pool), leases)
    ask(controller.CreateVolume, create("pgdata"))
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))

    refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-1"))


def test_a_read_only_heir_holds_the_disk_read_only(
    controller: ControllerService, leases: Leases, holders: KnownHolders
) -> None:
    ask(controller.ControllerPublishVolume, publish(pod="db-0"))
    holders.gone.add(DB_0)

    reader = mount(mode=MODE.SINGLE_NODE_READER_ONLY)
    ask(controller.ControllerPublishVolume, publish(pod="db-1", volume_capability=reader))

    assert (held(leases).holder, held(leases).read_only) == (DB_1, True)


def test_pods_that_share_a_disk_are_not_overtaken(pool: MemoryPool, leases: Leases) -> None:
    api = MemoryApi()
    api.put(VOLUMES, volume())
    api.put(pods_of(), pod("web-0"))
    controller = ControllerService(Nodes.single(NODE, pool), leases, holders=PodHolders(api))
    ask(controller.CreateVolume, create("pgdata"))
    many = mount(mode=MODE.SINGLE_NODE_MULTI_WRITER)
    ask(controller.ControllerPublishVolume, publish(pod="web-0", volume_capability=many))

    refusal(LeaseHeld, controller.ControllerPublishVolume, publish(pod="db-0"))
    lease = leases.get("pgdata")
    assert lease is not None
    assert lease.holder == "node/coordinator"


def test_who_waited_is_told_of_no_holder_once_there_is_none(leases: Leases) -> None:
    leases.acquire(Claim("pgdata", "default/db-0", NODE))
    mine = Claim("pgdata", "default/db-1", NODE)
    with pytest.raises(LeaseHeld):
        leases.wait(mine)
    leases.release("pgdata")

    leases.wait(mine)  # held by nobody: "returns when nobody or it itself holds it"
