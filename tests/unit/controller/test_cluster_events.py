"""Events: `kubectl describe` tells once what is the matter, and counts."""

import logging
from typing import Any

import pytest

from controller.cluster_events import Events
from controller.workloads import Reference
from csi.kubernetes_api import Conflict, Object
from tests.unit.controller.memory_api import MemoryApi
from tests.unit.controller.memory_leases import Clock

DB_0 = Reference("default", "db-0", "uid-1")
PATH = "/api/v1/namespaces/default/events"


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture
def events(api: MemoryApi, clock: Clock) -> Events:
    return Events(api, clock)


def warn(events: Events, message: str = "held, since 2m", **said: Any) -> None:
    known = {"kind": "Pod", "about": DB_0, "reason": "DiskHeld", "topic": "pgdata", **said}
    events.warn(message=message, **known)


def written(api: MemoryApi) -> list[Object]:
    return api.list("/api/v1/events")


def test_an_event_is_found_at_its_object(api: MemoryApi, events: Events) -> None:
    warn(events)

    (event,) = written(api)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "db-0",
        "uid": "uid-1",
    }
    assert (event["type"], event["reason"]) == ("Warning", "DiskHeld")
    assert (event["message"], event["count"]) == ("held, since 2m", 1)
    assert event["metadata"]["namespace"] == "default"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-02T03:04:05Z"
    assert event["source"] == {"component": "disk.csi.miren.dev"}


def test_what_still_holds_is_counted_once_a_minute(
    api: MemoryApi, events: Events, clock: Clock
) -> None:
    for second in range(0, 300, 5):
        warn(events, f"held, since {second}s")
        clock.pass_by(seconds=5)

    (event,) = written(api)
    assert (event["count"], event["message"]) == (5, "held, since 240s")
    assert event["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert event["lastTimestamp"] == "2026-01-02T03:08:05Z"
    assert api.count("create", "patch") <= 10


def test_other_news_do_not_wait(api: MemoryApi, events: Events) -> None:
    warn(events)
    warn(events, reason="LeaseTimeout")
    warn(events, topic="uploads")
    warn(events, about=Reference("default", "db-1", "uid-1"))
    warn(events, about=Reference("default", "db-0", "uid-2"))
    warn(events, kind="PersistentVolumeClaim")
    warn(events, about=Reference("another", "db-0", "uid-1"))

    assert len(written(api)) == len({one["metadata"]["name"] for one in written(api)}) == 7
    assert all(one["count"] == 1 for one in written(api))


def test_the_next_controller_tells_it_in_the_same_event(
    api: MemoryApi, events: Events, clock: Clock
) -> None:
    warn(events)
    clock.pass_by(seconds=10)
    warn(Events(api, clock), "held, since 2m10s")

    (event,) = written(api)
    assert event["message"] == "held, since 2m10s"
    assert event["lastTimestamp"] == "2026-01-02T03:04:15Z"


def test_an_event_that_the_server_has_forgotten_is_written_anew(
    api: MemoryApi, events: Events, clock: Clock
) -> None:
    warn(events)
    api.remove(f"{PATH}/{written(api)[0]['metadata']['name']}")
    clock.pass_by(hours=2)
    warn(events)

    (event,) = written(api)
    assert event["firstTimestamp"] == "2026-01-02T05:04:05Z"


def test_an_event_that_vanishes_while_it_is_told_again_harms_nobody(
    api: MemoryApi, events: Events, clock: Clock
) -> None:
    warn(events)
    name = written(api)[0]["metadata"]["name"]
    clock.pass_by(minutes=1)
    api.outrun("patch", lambda: api.remove(f"{PATH}/{name}"))

    warn(events)
    assert written(api) == []
    clock.pass_by(minutes=1)
    warn(events)

    assert len(written(api)) == 1


def test_that_an_event_cannot_be_written_is_logged(
    api: MemoryApi, events: Events, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    api.fail()
    with caplog.at_level(logging.WARNING):
        warn(events)
    assert "cannot tell Pod default/db-0: held, since 2m" in caplog.text

    api.fail(away=False)
    warn(events)
    assert written(api) == []
    clock.pass_by(minutes=1)
    warn(events)
    assert len(written(api)) == 1


def test_the_longest_name_makes_a_name_that_kubernetes_takes(
    api: MemoryApi, events: Events
) -> None:
    warn(events, about=Reference("default", "x" * 253, "uid-1"))
    warn(events, about=Reference("default", "x" * 252 + "y", "uid-1"))

    names = {one["metadata"]["name"] for one in written(api)}
    assert len(names) == 2
    assert all(len(name) <= 253 for name in names)


def test_an_event_that_somebody_else_changes_at_the_same_time_is_no_error(clock: Clock) -> None:
    api = MemoryApi()
    events = Events(api, clock)

    def conflict() -> None:
        raise Conflict("please apply your changes to the latest version")

    about = Reference("default", "db-0", "u")
    events.warn("Pod", about, "DiskHeld", "held", topic="t")
    clock.pass_by(minutes=1)
    api.outrun("patch", conflict)
    events.warn("Pod", about, "DiskHeld", "held", topic="t")
