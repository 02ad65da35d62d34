"""Leases follow the pods: who waits is told, who is gone passes on, and it costs few writes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.cluster_events import Events
from controller.lease import Claim, Lease, LeaseState
from controller.lease_care import LeaseCare
from controller.leases import Change, Leases
from controller.workloads import Pod, Volume
from csi.errors import LeaseHeld, Unavailable
from tests.unit.controller.cluster_objects import seen_pod, seen_volume
from tests.unit.controller.known_holders import KnownHolders
from tests.unit.controller.memory_api import MemoryApi
from tests.unit.controller.memory_leases import Clock, MemoryLeaseStore

NODE = "coordinator"
DB_0 = "default/db-0"
DB_1 = "default/db-1"


class CountingStore(MemoryLeaseStore):
    """Tells which leases were written, and by what they were replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.written: list[tuple[Lease | None, Lease | None]] = []

    def list(self) -> list[Lease]:
        if self.away:
            raise Unavailable("no leases now")
        return super().list()

    def update(self, disk: str, change: Change) -> Lease | None:
        before = self.read(disk)
        after = super().update(disk, change)
        if after != before:
            self.written.append((before, after))
        return after


class Scene:
    """A cluster in which db-0 holds pgdata, as somebody sees it who looks every 5 seconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = CountingStore()
        self.leases = Leases(self.store, self.clock)
        self.api = MemoryApi()
        self.holders = KnownHolders()
        self.care = LeaseCare(self.leases, self.holders, Events(self.api, self.clock))
        self.volumes: list[Volume] = [seen_volume()]
        self.pods: list[Pod] = [seen_pod("db-0")]
        self.acquire()

    def acquire(self, holder: str = DB_0, disk: str = "pgdata", **said: Any) -> None:
        self.leases.acquire(Claim(disk, holder, NODE, **said))
        self.store.written.clear()

    def look(self) -> None:
        self.care.look(self.volumes, self.pods, self.clock())

    def look_for(self, **span: float) -> None:
        end = self.clock() + timedelta(**span)
        while self.clock() < end:
            self.look()
            self.clock.pass_by(seconds=5)

    def lease(self) -> Lease:
        found = self.leases.get("pgdata")
        assert found is not None
        return found

    def told(self, kind: str, name: str) -> list[tuple[str, str]]:
        """Reasons and sentences that `kubectl describe` shows."""
        return [
            (one["reason"], one["message"])
            for one in self.api.list("/api/v1/events")
            if (one["involvedObject"]["kind"], one["involvedObject"]["name"]) == (kind, name)
        ]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# who waits


def test_a_waiting_pod_and_its_claim_are_told_who_holds_the_disk(scene: Scene) -> None:
    scene.clock.pass_by(minutes=2)
    scene.pods.append(seen_pod("db-1", node="", phase="Pending"))

    scene.look()

    said = ("DiskHeld", 'disk "pgdata" is held by default/db-0, since 2m; waiting up to 5m')
    assert scene.told("Pod", "db-1") == [said]
    assert scene.told("PersistentVolumeClaim", "pgdata") == [said]
    assert scene.told("Pod", "db-0") == []
    assert scene.lease().holder == DB_0
    assert [one.holder for one in scene.lease().waiting] == [DB_1]


def test_each_of_several_waiting_pods_is_told(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1"))
    scene.look()
    scene.pods.append(seen_pod("db-2"))
    scene.look()

    assert len(scene.told("Pod", "db-1")) == len(scene.told("Pod", "db-2")) == 1
    assert [one.holder for one in scene.lease().waiting] == [DB_1, "default/db-2"]


def test_events_are_about_the_pod_and_the_claim_that_are_there_now(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1"))

    scene.look()

    found = {one["involvedObject"]["uid"] for one in scene.api.list("/api/v1/events")}
    volume = scene.volumes[0]
    assert volume.claim is not None
    assert found == {"uid-of-db-1", volume.claim.uid}


def test_after_its_lease_timeout_a_pod_is_told_that_it_failed(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1"))

    scene.look_for(minutes=6)

    ((reason, message),) = [one for one in scene.told("Pod", "db-1") if one[0] != "DiskHeld"]
    assert reason == "LeaseTimeout"
    assert message.startswith('disk "pgdata" is held by default/db-0, since 5m')
    assert "default/db-1 waited longer than its lease_timeout of 5m: stop the holder" in message


def test_a_wait_is_not_forgotten_however_long_it_lasts(scene: Scene) -> None:
    began = scene.clock()
    scene.pods.append(seen_pod("db-1"))

    scene.look_for(minutes=45)

    (waiting,) = scene.lease().waiting
    assert waiting.since == began
    assert waiting.state(scene.clock()) is LeaseState.FAILED
    scene.leases.release("pgdata")
    assert scene.lease().state(scene.clock()) is LeaseState.FAILED


@pytest.mark.parametrize(
    ("attributes", "words"),
    [({"leaseTimeout": "30s"}, "30s"), ({"leaseTimeout": "soon"}, "5m"), ({}, "5m")],
)
def test_how_long_a_pod_waits_is_said_by_its_volume(
    scene: Scene, attributes: dict[str, str], words: str
) -> None:
    scene.volumes = [seen_volume(attributes=attributes)]
    scene.pods.append(seen_pod("db-1"))

    scene.look()

    assert scene.told("Pod", "db-1")[0][1].endswith(f"; waiting up to {words}")


@pytest.mark.parametrize(
    "other",
    [
        seen_pod("db-1", deleting=True),
        seen_pod("db-1", phase="Succeeded"),
        seen_pod("db-1", "uploads"),
        seen_pod("db-1", namespace="another"),
    ],
    ids=["leaves", "ended", "other-claim", "namesake"],
)
def test_who_does_not_wait_is_told_nothing(scene: Scene, other: Pod) -> None:
    scene.pods.append(other)

    scene.look()

    assert scene.api.list("/api/v1/events") == []
    assert scene.lease().waiting == ()


def test_a_waiting_pod_costs_at_most_one_lease_write_a_minute(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1", node=""))

    scene.look_for(minutes=10)

    waits = [after for before, after in scene.store.written if _waits(before) != _waits(after)]
    assert len(waits) == 10
    events = scene.api.count("create", "patch")
    assert events <= 2 * 2 * 11  # two objects; a new event is tried first; one more reason


def _waits(lease: Lease | None) -> object:
    return lease and lease.waiting


def test_who_waited_is_forgotten_once_its_pod_is_gone(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1"))
    scene.look_for(minutes=1)
    scene.pods = [seen_pod("db-0")]

    scene.look_for(minutes=1)

    assert scene.lease().waiting == ()


def test_a_disk_for_which_nobody_waits_any_more_is_released(scene: Scene) -> None:
    scene.pods = [seen_pod("db-1")]
    scene.acquire()
    with pytest.raises(LeaseHeld):
        scene.leases.acquire(Claim("pgdata", DB_1, NODE))
    scene.leases.release("pgdata")
    scene.look_for(minutes=6)
    assert scene.lease().state(scene.clock()) is LeaseState.FAILED

    scene.pods = []
    scene.look()

    assert scene.lease().state(scene.clock()) is LeaseState.RELEASED


def test_who_asked_just_now_may_be_newer_than_what_was_seen(scene: Scene) -> None:
    with pytest.raises(LeaseHeld):
        scene.leases.acquire(Claim("pgdata", DB_1, NODE))

    scene.look_for(seconds=30)
    assert [one.holder for one in scene.lease().waiting] == [DB_1]
    scene.look()
    assert [one.holder for one in scene.lease().waiting] == [DB_1]
    scene.clock.pass_by(seconds=1)
    scene.look()
    assert scene.lease().waiting == ()


def test_a_node_that_waits_for_an_unknown_pod_is_not_forgotten(scene: Scene) -> None:
    with pytest.raises(LeaseHeld):
        scene.leases.acquire(Claim("pgdata", "node/coordinator", NODE))

    scene.look_for(minutes=5)

    assert [one.holder for one in scene.lease().waiting] == ["node/coordinator"]


# who is gone


def test_the_next_pod_on_the_node_gets_what_a_gone_one_held(scene: Scene) -> None:
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-1")]
    scene.clock.pass_by(minutes=1)

    scene.look()

    lease = scene.lease()
    assert (lease.holder, lease.node, lease.transitions) == (DB_1, NODE, 1)
    assert lease.acquire_time == scene.clock()
    assert lease.waiting == ()
    scene.look()
    assert scene.told("Pod", "db-1") == []


def test_a_pod_that_waited_waits_no_more_once_it_has_the_disk(scene: Scene) -> None:
    scene.pods.append(seen_pod("db-1"))
    scene.look()
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-1")]

    scene.look()

    assert (scene.lease().holder, scene.lease().waiting) == (DB_1, ())


def test_a_holder_that_is_newer_than_what_was_seen_is_not_overtaken(scene: Scene) -> None:
    scene.pods = [seen_pod("db-1")]  # db-0 is there, but was not seen yet

    scene.look()

    assert scene.lease().holder == DB_0
    assert scene.store.written == []


@pytest.mark.parametrize(
    "other",
    [
        seen_pod("db-1", node="worker"),
        seen_pod("db-1", node="", phase="Pending"),
        seen_pod("db-1", "uploads"),
        seen_pod("db-1", phase="Failed"),
    ],
    ids=["on-another-node", "not-scheduled", "other-claim", "ended"],
)
def test_what_a_gone_pod_held_waits_for_a_pod_on_the_same_node(scene: Scene, other: Pod) -> None:
    scene.holders.gone.add(DB_0)
    scene.pods = [other]

    scene.look_for(minutes=1)

    assert scene.lease().holder == DB_0
    assert scene.store.written == []


def test_of_several_heirs_it_is_the_oldest_that_is_to_stay(scene: Scene) -> None:
    scene.holders.gone.add(DB_0)
    scene.pods = [
        seen_pod("db-3", age=30),
        seen_pod("db-1", age=10, deleting=True),
        seen_pod("db-2", age=20),
    ]

    scene.look()

    assert scene.lease().holder == "default/db-2"


def test_a_pod_that_is_being_deleted_holds_the_disk_while_it_is_the_only_one(scene: Scene) -> None:
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-1", deleting=True)]

    scene.look()

    assert scene.lease().holder == DB_1


def test_a_node_that_holds_for_an_unknown_pod_gives_way_to_it(scene: Scene) -> None:
    scene.leases.release("pgdata")
    scene.acquire("node/coordinator")
    scene.holders.gone.add("node/coordinator")

    scene.look()

    assert scene.lease().holder == DB_0


def test_a_pod_made_anew_under_the_holders_name_is_the_holder(scene: Scene) -> None:
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-0", age=600), seen_pod("db-1", age=1)]

    scene.look()

    assert scene.lease().holder == DB_0


def test_an_heir_holds_the_disk_as_the_last_one_did(scene: Scene) -> None:
    scene.leases.release("pgdata")
    scene.acquire(read_only=True)
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-1")]

    scene.look()

    assert (scene.lease().holder, scene.lease().read_only) == (DB_1, True)


# what is left alone


def test_a_disk_that_many_share_or_nobody_holds_is_left_alone(scene: Scene) -> None:
    scene.leases.release("pgdata")
    scene.holders.gone |= {"", "node/coordinator"}
    scene.pods.append(seen_pod("db-1", node=""))
    scene.look_for(minutes=1)
    assert scene.lease().holder == ""

    scene.acquire("node/coordinator", shared=True)
    scene.look_for(minutes=1)
    assert scene.lease().holder == "node/coordinator"
    assert scene.store.written == []
    assert scene.api.list("/api/v1/events") == []


@pytest.mark.parametrize("volumes", [[], [seen_volume(claim="")], [seen_volume("uploads")]])
def test_without_a_claim_nobody_can_be_told_or_take_over(
    scene: Scene, volumes: list[Volume]
) -> None:
    scene.volumes = volumes
    scene.holders.gone.add(DB_0)
    scene.pods = [seen_pod("db-1")]

    scene.look_for(minutes=1)

    assert scene.store.written == []


def test_without_its_leases_a_controller_does_nothing(scene: Scene) -> None:
    scene.store.away = True

    with pytest.raises(Unavailable):
        scene.look()


# what it costs


def hold_a_hundred(scene: Scene) -> None:
    names = [f"disk-{number:03}" for number in range(100)]
    scene.volumes = [seen_volume(name) for name in names]
    scene.pods = [seen_pod(f"pod-of-{name}", name) for name in names]
    for name in names:
        scene.acquire(f"default/pod-of-{name}", name)


def test_renewals_of_any_number_of_leases_are_six_writes_a_minute(scene: Scene) -> None:
    hold_a_hundred(scene)

    scene.look_for(minutes=10)

    assert 50 <= len(scene.store.written) <= 60


def test_every_lease_is_renewed_in_its_turn(scene: Scene) -> None:
    hold_a_hundred(scene)

    scene.look_for(minutes=17)

    renewed = [after.disk for _, after in scene.store.written if after]
    assert sorted(renewed[:100]) == [f"disk-{number:03}" for number in range(100)]


def test_a_renewal_says_that_the_holder_is_still_there_and_nothing_else(scene: Scene) -> None:
    before = scene.lease()
    scene.look_for(seconds=35)

    renewed = scene.lease()
    assert before.renew_time is not None
    assert renewed.renew_time == before.renew_time + timedelta(seconds=30)
    assert (renewed.acquire_time, renewed.transitions) == (before.acquire_time, 0)


def test_a_gone_holder_is_not_said_to_be_there(scene: Scene) -> None:
    scene.pods = []

    scene.look_for(minutes=10)

    assert scene.store.written == []


@pytest.mark.parametrize("node", [NODE, "worker"])
def test_one_disk_that_changes_hands_meanwhile_does_not_keep_others_from_care(node: str) -> None:
    scene = Scene()
    scene.acquire("default/web-0", "uploads")
    scene.volumes.append(seen_volume("uploads"))
    scene.holders.gone |= {DB_0}
    scene.pods = [seen_pod("db-1"), seen_pod("web-0", "uploads"), seen_pod("web-1", "uploads")]

    def another_comes() -> None:
        scene.leases.release("pgdata")
        scene.leases.acquire(Claim("pgdata", "default/db-2", node))

    scene.holders.meanwhile = another_comes
    scene.look()

    assert scene.told("Pod", "web-1")


def test_a_volume_that_nobody_claims_does_not_hide_the_one_that_is_bound() -> None:
    scene = Scene()
    scene.volumes.append(replace(seen_volume("spare", disk="pgdata"), claim=None))
    scene.pods.append(seen_pod("db-1"))

    scene.look()

    assert scene.told("Pod", "db-1")


def test_another_controllers_clock_that_is_ahead_does_not_end_renewals() -> None:
    scene = Scene()
    scene.clock.pass_by(hours=1)
    scene.acquire("default/web-0", "uploads")
    scene.clock.pass_by(hours=-1)
    scene.volumes.append(seen_volume("uploads"))
    scene.pods.append(seen_pod("web-0", "uploads"))

    scene.look_for(minutes=2)

    assert scene.store.written
