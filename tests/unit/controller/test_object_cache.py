"""A copy of the cluster's objects, whatever becomes of the watch that feeds it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from controller import workloads
from controller.object_cache import ObjectCache, Trim
from csi.kubernetes_api import Object
from tests.unit.controller.cluster_objects import VOLUMES, pod, pods_of, volume
from tests.unit.controller.memory_api import MemoryApi

PODS = "/api/v1/pods"


class Hurried(threading.Event):
    """A stop signal for which nobody waits long; tells how long they wanted to."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return super().wait(0.01)


class Following:
    """A cache that follows a collection, and what it shows."""

    def __init__(self, api: MemoryApi, path: str = PODS, trim: Trim = workloads.trim_pod) -> None:
        self.cache = ObjectCache(api, path, trim)
        self.stop = Hurried()
        self.changed = threading.Event()
        self.cache.wake(self.changed)
        self._api = api
        self._thread = threading.Thread(target=self.cache.run, args=[self.stop], daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.until(lambda: self.cache.is_listed)

    def end(self) -> None:
        self.stop.set()
        for _ in range(100):
            # The next watch may be about to begin.
            self._api.end_watches()
            self._thread.join(0.1)
        assert not self._thread.is_alive()

    def names(self) -> list[str]:
        found = (one["metadata"] for one in self.cache.list())
        return sorted(f"{one.get('namespace', '')}/{one['name']}" for one in found)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a change makes something true."""
        while True:
            self.changed.clear()
            if condition():
                return
            assert self.changed.wait(10), f"the cache shows {self.names()}"

    def until_shown(self, *names: str) -> None:
        self.until(lambda: self.names() == sorted(names))


@pytest.fixture
def api() -> MemoryApi:
    api = MemoryApi()
    for number in range(3):  # more than a page
        api.put(pods_of(), pod(f"db-{number}"))
    api.put(pods_of("another"), pod("db-0", namespace="another"))
    return api


@pytest.fixture
def following(api: MemoryApi) -> Iterator[Following]:
    following = Following(api)
    following.start()
    yield following
    api.fail(away=False)
    following.end()


BEGINNING = ("default/db-0", "default/db-1", "default/db-2", "another/db-0")


def test_nothing_is_known_before_it_is_followed(api: MemoryApi) -> None:
    cache = ObjectCache(api, PODS)

    assert not cache.is_listed
    assert cache.list() == []


def test_all_objects_of_all_namespaces_are_there_at_first(following: Following) -> None:
    assert sorted(following.names()) == sorted(BEGINNING)


def test_changes_are_followed(api: MemoryApi, following: Following) -> None:
    api.put(pods_of(), pod("db-3"))
    following.until_shown(*BEGINNING, "default/db-3")

    api.put(pods_of(), pod("db-3", phase="Succeeded"))
    following.until(lambda: "Succeeded" in str(following.cache.list()))

    api.remove(f"{pods_of()}/db-0")
    following.until_shown("default/db-1", "default/db-2", "another/db-0", "default/db-3")


def test_what_is_of_no_interest_is_not_kept(api: MemoryApi, following: Following) -> None:
    plain = pod("plain")
    plain["spec"]["volumes"] = []
    api.put(pods_of(), plain)
    unused = pod("db-1")
    unused["spec"]["volumes"] = []
    api.put(pods_of(), unused)

    following.until_shown("default/db-0", "default/db-2", "another/db-0")
    assert "containers" not in str(following.cache.list())


def test_a_watch_that_ends_goes_on_where_it_was(api: MemoryApi, following: Following) -> None:
    api.put(pods_of(), pod("db-3"))
    following.until_shown(*BEGINNING, "default/db-3")
    lists = api.count("get")

    api.end_watches()
    api.put(pods_of(), pod("db-4"))
    following.until_shown(*BEGINNING, "default/db-3", "default/db-4")

    assert api.count("get") == lists
    assert all((pause or 9) < 1 for pause in following.stop.pauses)


def test_when_the_server_has_forgotten_where_it_was_all_is_listed_anew(
    api: MemoryApi, following: Following
) -> None:
    api.put(pods_of(), pod("db-3"))
    following.until_shown(*BEGINNING, "default/db-3")
    lists = api.count("get")

    api.forget()
    following.until(lambda: api.count("get") > lists)
    api.put(pods_of(), pod("db-4"))

    following.until_shown(*BEGINNING, "default/db-3", "default/db-4")


def test_what_happened_during_an_outage_is_seen_afterwards(
    api: MemoryApi, following: Following
) -> None:
    api.put(pods_of(), pod("db-3"))
    following.until_shown(*BEGINNING, "default/db-3")
    api.fail()
    api.remove(f"{pods_of()}/db-0")
    api.put(pods_of(), pod("db-4"))
    api.forget()

    assert following.cache.is_listed
    assert "default/db-0" in following.names()
    api.fail(away=False)

    following.until_shown(*BEGINNING[1:], "default/db-3", "default/db-4")


def test_a_server_that_is_away_is_asked_again_at_leisure(
    api: MemoryApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.fail()
    following = Following(api)
    threading.Timer(0.1, api.fail, [False]).start()
    following.start()

    assert sorted(following.names()) == sorted(BEGINNING)
    assert set(following.stop.pauses) == {5.0}
    assert "cannot follow /api/v1/pods: the Kubernetes API server" in caplog.text
    following.end()


def test_each_change_wakes_all_who_wait(api: MemoryApi, following: Following) -> None:
    other = threading.Event()
    following.cache.wake(other)

    api.put(pods_of(), pod("db-3"))

    assert other.wait(10)


def test_objects_without_a_namespace_are_followed_too(api: MemoryApi) -> None:
    api.put(VOLUMES, volume("pgdata"))
    following = Following(api, VOLUMES, workloads.trim_volume)
    following.start()
    api.put(VOLUMES, volume("uploads"))
    following.until_shown("/pgdata", "/uploads")

    following.end()


def test_what_is_shown_is_a_list_of_its_own(following: Following) -> None:
    following.cache.list().clear()

    assert len(following.cache.list()) == len(BEGINNING)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_object_that_cannot_be_read_does_not_end_the_cache() -> None:
    api = MemoryApi()
    api.put(VOLUMES, volume())
    bad = {"on": True}

    def trim(found: Object) -> Object:
        if bad["on"]:
            raise KeyError("spec")
        return found

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
            return super().wait(0.01)

    stop = Stop()
    cache = ObjectCache(api, VOLUMES, trim)
    thread = threading.Thread(target=cache.run, args=[stop], daemon=True)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    stop.set()
