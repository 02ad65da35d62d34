"""For which pod a disk is published, and whether a holder can still come back to it."""

import pytest

from controller.holders import Holders, PodHolders, UnknownHolders
from csi.errors import Unavailable
from csi.kubernetes_api import Object
from tests.unit.controller.cluster_objects import VOLUMES, pod, pods_of, seen_volume, volume
from tests.unit.controller.memory_api import MemoryApi

NODE = "coordinator"


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def holders(api: MemoryApi) -> Holders:
    return PodHolders(api)


def holder(holders: Holders, disk: str) -> str:
    volume = holders.volume(disk)
    return holders.holder(volume, NODE) if volume else ""


def run(api: MemoryApi, *pods: Object) -> None:
    for one in pods:
        api.put(pods_of(one["metadata"]["namespace"]), one)


def test_the_pod_on_the_node_that_uses_the_claim_is_meant(api: MemoryApi, holders: Holders) -> None:
    api.put(VOLUMES, volume())
    run(
        api,
        pod("elsewhere", node="worker"),
        pod("waits", node=""),
        pod("ended", phase="Succeeded"),
        pod("uploads", "uploads"),
        pod("stranger", namespace="another"),
        pod("db-0"),
    )

    assert holder(holders, "pgdata") == "default/db-0"


def test_of_several_pods_the_oldest_is_meant(api: MemoryApi, holders: Holders) -> None:
    api.put(VOLUMES, volume())
    run(api, pod("db-1", age=60), pod("db-0", age=30), pod("db-2", age=90))

    assert holder(holders, "pgdata") == "default/db-0"


def test_nobody_is_meant_where_nothing_says_so(api: MemoryApi, holders: Holders) -> None:
    run(api, pod("db-0"))
    assert holder(holders, "pgdata") == ""

    api.put(VOLUMES, volume(claim=""))
    assert holder(holders, "pgdata") == ""

    api.put(VOLUMES, volume(claim="another"))
    assert holder(holders, "pgdata") == ""


def test_a_volume_is_found_under_any_name(api: MemoryApi, holders: Holders) -> None:
    api.put(VOLUMES, volume("pgdata", disk="another-disk", claim="x"))
    api.put(VOLUMES, volume("foreign", disk="pgdata", claim="x", driver="other.example.com"))
    api.put(VOLUMES, volume("by-hand", disk="pgdata", claim="pgdata"))
    run(api, pod("stranger", "x"), pod("db-0"))

    assert holder(holders, "pgdata") == "default/db-0"


def test_a_volume_with_the_disks_name_is_found_without_a_list(
    api: MemoryApi, holders: Holders
) -> None:
    api.put(VOLUMES, volume("my-disk-f090aeef", disk="My_Disk", claim="pgdata"))
    run(api, pod("db-0"))

    assert holder(holders, "My_Disk") == "default/db-0"
    assert ("get", VOLUMES) not in api.calls


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        (pod(), False),
        (pod(deleting=True), False),
        (pod(node="", phase="Pending"), False),
        (pod(phase="Succeeded"), True),
        (pod(phase="Failed"), True),
        (pod(node="worker"), True),
        (pod(namespace="another"), True),
        (None, True),
    ],
    ids=[
        "runs",
        "is-being-deleted",
        "is-not-scheduled",
        "succeeded",
        "failed",
        "moved",
        "namesake",
        "deleted",
    ],
)
def test_a_holder_is_gone_only_when_it_cannot_come_back(
    api: MemoryApi, holders: Holders, there: Object | None, gone: bool
) -> None:
    if there:
        run(api, there)

    assert holders.is_gone("default/db-0", "pgdata", NODE) is gone


def test_a_node_gives_way_to_a_pod_that_is_known(api: MemoryApi, holders: Holders) -> None:
    api.put(VOLUMES, volume())
    run(api, pod("elsewhere", node="worker"))
    assert not holders.is_gone("node/coordinator", "pgdata", NODE)

    run(api, pod("db-0"))
    assert holders.is_gone("node/coordinator", "pgdata", NODE)


def test_while_the_api_server_is_away_nobody_is_said_to_be_gone(
    api: MemoryApi, holders: Holders
) -> None:
    api.fail()

    for who in ("default/db-0", "node/coordinator"):
        with pytest.raises(Unavailable):
            holders.is_gone(who, "pgdata", NODE)
    with pytest.raises(Unavailable):
        holder(holders, "pgdata")


def test_without_a_cluster_nothing_is_known() -> None:
    unknown: Holders = UnknownHolders()

    assert unknown.volume("pgdata") is None
    assert unknown.holder(seen_volume(), NODE) == ""
    assert not unknown.is_gone("default/db-0", "pgdata", NODE)


def test_a_holder_that_somebody_wrote_by_hand_is_there() -> None:
    api = MemoryApi()
    api.put(pods_of("me"), pod(namespace="me"))

    assert not PodHolders(api).is_gone("me", "pgdata", NODE)
