"""What every store of leases promises, whatever keeps the records."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.lease import Claim, Lease, Waiting
from controller.lease_file import LeaseFile
from controller.leases import Leases, LeaseStore
from csi.errors import InvalidRequest, LeaseHeld, Unavailable
from csi.main import open_leases
from tests.cluster.api_server import ApiServer, Cluster
from tests.unit.controller.memory_leases import MemoryLeaseStore

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)

FULL = Lease(
    disk='ünïcode/"../x',
    holder="default/db-0",
    node="coordinator",
    acquire_time=NOON,
    renew_time=NOON + timedelta(microseconds=1),
    transitions=7,
    read_only=True,
    shared=True,
    waiting=(
        Waiting("default/db-2", since=NOON, asked=NOON + timedelta(seconds=5), timeout=0.5),
        Waiting("default/db-1", since=NOON, asked=NOON, timeout=300.0),
    ),
)

Reopen = Callable[[], LeaseStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases.json"


@pytest.fixture(params=["file", "memory", "objects"])
def reopened(request: pytest.FixtureRequest, path: Path) -> Reopen:
    """Opens the same store again, as a restarted driver does."""
    if request.param == "objects":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.store
    if request.param == "file":
        return lambda: LeaseFile(path)
    memory = MemoryLeaseStore()
    return lambda: memory


@pytest.fixture
def store(reopened: Reopen) -> LeaseStore:
    return reopened()


def put(store: LeaseStore, lease: Lease) -> None:
    store.update(lease.disk, lambda _: lease)


def test_a_new_store_knows_no_leases(store: LeaseStore) -> None:
    assert store.list() == []
    assert store.read("pgdata") is None


def test_every_field_survives(store: LeaseStore, reopened: Reopen) -> None:
    put(store, FULL)
    put(store, Lease("bare"))

    for one in (store, reopened()):
        assert one.read(FULL.disk) == FULL
        assert one.read("bare") == Lease("bare")


def test_the_list_is_sorted_by_disk(store: LeaseStore) -> None:
    for disk in ("b", "ä", "a", "B"):
        put(store, Lease(disk))

    assert [lease.disk for lease in store.list()] == ["B", "a", "b", "ä"]


def test_an_update_sees_what_is_there_and_returns_what_it_made(store: LeaseStore) -> None:
    seen: list[Lease | None] = []

    def count(lease: Lease | None) -> Lease:
        seen.append(lease)
        return replace(lease, transitions=lease.transitions + 1) if lease else Lease("pgdata")

    results = [store.update("pgdata", count) for _ in range(3)]

    expected = [Lease("pgdata", transitions=number) for number in range(3)]
    assert results == expected
    assert seen == [None, *expected[:2]]


def test_an_update_to_nothing_and_a_delete_remove_the_record(store: LeaseStore) -> None:
    for disk in ("a", "b", "c"):
        put(store, Lease(disk))

    assert store.update("a", lambda _: None) is None
    store.delete("b")
    store.delete("b")

    assert [lease.disk for lease in store.list()] == ["c"]


def test_what_an_update_raises_goes_through_and_nothing_changes(store: LeaseStore) -> None:
    put(store, FULL)

    def fail(_: Lease | None) -> Lease:
        raise LeaseHeld("no")

    with pytest.raises(LeaseHeld, match="no"):
        store.update(FULL.disk, fail)

    assert store.list() == [FULL]
    put(store, Lease("other"))


def test_threads_do_not_lose_each_others_updates(store: LeaseStore) -> None:
    together = threading.Barrier(8)

    def count_up(disk: str) -> None:
        def more(lease: Lease | None) -> Lease:
            return Lease(disk, transitions=(lease.transitions if lease else 0) + 1)

        store.update(disk, more)

    def work(number: int) -> None:
        together.wait()
        for _ in range(10):
            count_up("shared")
            count_up(f"own-{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    counts = {lease.disk: lease.transitions for lease in store.list()}
    assert counts == {"shared": 80, **{f"own-{number}": 10 for number in range(8)}}


# Lease objects


def test_a_lease_can_be_read_by_people_and_by_kubectl(cluster: Cluster) -> None:
    put(cluster.store(), replace(FULL, disk="pgdata", waiting=()))
    put(cluster.store(), Lease("My_Disk", transitions=1))

    held, free = cluster.get("pgdata"), cluster.get("my-disk-f090aeef")
    assert held["spec"] == {
        "holderIdentity": "default/db-0",
        "acquireTime": "2026-01-02T12:00:00.123456Z",
        "renewTime": "2026-01-02T12:00:00.123457Z",
        "leaseTransitions": 7,
    }
    assert held["metadata"]["labels"]["disk.miren.dev/state"] == "bound"
    assert held["metadata"]["annotations"]["disk.miren.dev/node"] == "coordinator"
    assert free["spec"] == {"leaseTransitions": 1}
    assert free["metadata"]["labels"]["disk.miren.dev/state"] == "released"
    assert free["metadata"]["annotations"]["disk.miren.dev/disk"] == "My_Disk"


def test_what_others_wrote_into_a_lease_object_stays(cluster: Cluster) -> None:
    put(cluster.store(), Lease("pgdata"))
    cluster.patch("pgdata", {"metadata": {"labels": {"team": "shop"}}})

    put(cluster.store(), replace(FULL, disk="pgdata"))

    assert cluster.get("pgdata")["metadata"]["labels"]["team"] == "shop"
    assert cluster.store().read("pgdata") == replace(FULL, disk="pgdata")


def test_lease_objects_of_others_are_neither_listed_nor_changed(cluster: Cluster) -> None:
    cluster.create("leader", {"holderIdentity": "somebody"})

    assert cluster.store().list() == []
    with pytest.raises(Unavailable, match=r'the Lease \S+/leader is not one of disk "leader"'):
        put(cluster.store(), Lease("leader"))
    assert cluster.get("leader")["spec"] == {"holderIdentity": "somebody"}


def test_a_damaged_lease_object_is_named_and_left_alone(cluster: Cluster) -> None:
    put(cluster.store(), FULL)
    put(cluster.store(), Lease("pgdata"))
    cluster.patch("pgdata", {"metadata": {"annotations": {"disk.miren.dev/waiting": "7"}}})

    with pytest.raises(Unavailable, match=r'Lease \S+/pgdata is not one of disk "pgdata", or is'):
        cluster.store().read("pgdata")
    assert cluster.store().read(FULL.disk) == FULL


def test_without_the_api_server_a_lease_is_neither_read_nor_lost(
    cluster: Cluster, api_server: ApiServer
) -> None:
    store = cluster.store()
    put(store, FULL)
    api_server.kill()
    try:
        for attempt in (store.list, lambda: store.read(FULL.disk), lambda: put(store, FULL)):
            with pytest.raises(Unavailable, match=r"the Kubernetes API server https://\S+ cannot"):
                attempt()
    finally:
        api_server.start()
    assert store.list() == [FULL]


def test_who_may_not_use_leases_is_told(
    cluster: Cluster, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig("nobody")))

    with pytest.raises(Unavailable, match=r"refuses GET \S+: .* cannot get resource"):
        cluster.store().read("pgdata")


def test_of_racing_controllers_exactly_one_wins_each_disk(cluster: Cluster) -> None:
    names = [f"default/db-{number}" for number in range(6)]
    together = threading.Barrier(len(names))

    def race(name: str) -> list[str]:
        leases = Leases(cluster.store())
        won = []
        together.wait()
        for number in range(8):
            with contextlib.suppress(LeaseHeld):
                won.append(leases.acquire(Claim(f"disk-{number}", name, "coordinator")).disk)
        return won

    with ThreadPoolExecutor(len(names)) as threads:
        won = dict(zip(names, threads.map(race, names), strict=True))

    holders = {disk: name for name, disks in won.items() for disk in disks}
    assert sum(map(len, won.values())) == len(holders) == 8
    for lease in cluster.store().list():
        assert lease.holder == holders[lease.disk]
        assert {one.holder for one in lease.waiting} == set(names) - {lease.holder}


def test_no_way_to_the_api_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))

    with pytest.raises(InvalidRequest, match=r"no way to the Kubernetes API: .*KUBECONFIG"):
        open_leases("kubernetes")


# the file

PROCESSES = 8
DISKS = 50


_RACER = """
import sys
from pathlib import Path
from controller.lease import Claim
from controller.lease_file import LeaseFile
from controller.leases import Leases
from csi.errors import LeaseHeld
leases = Leases(LeaseFile(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    try:
        leases.acquire(Claim(f"disk-{number}", sys.argv[2], "coordinator"))
    except LeaseHeld:
        continue
    print(f"disk-{number}", flush=True)
"""


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_of_racing_processes_exactly_one_wins_each_disk(path: Path) -> None:
    names = [f"default/db-{number}" for number in range(PROCESSES)]
    racers = {name: _start(_RACER, path, name, DISKS) for name in names}
    for racer in racers.values():
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = {name: racer.communicate(timeout=120)[0].split() for name, racer in racers.items()}

    assert [racer.returncode for racer in racers.values()] == [0] * PROCESSES
    holders = {disk: name for name, disks in won.items() for disk in disks}
    assert sum(map(len, won.values())) == len(holders) == DISKS
    leases = LeaseFile(path).list()
    assert {lease.disk: lease.holder for lease in leases} == holders
    for lease in leases:
        waiting = {one.holder for one in lease.waiting}
        assert waiting == set(names) - {lease.holder}, "a loser's wait was lost"


_ENDLESS = """
import sys
from pathlib import Path
from controller.lease import Claim
from controller.lease_file import LeaseFile
from controller.leases import Leases
leases = Leases(LeaseFile(Path(sys.argv[1])))
for number in range(10**6):
    disk = f"disk-{number % 40}"
    leases.release(disk)
    leases.acquire(Claim(disk, f"default/db-{number}", "coordinator"))
    print(disk, number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 30, 70])
def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(path: Path, after: int) -> None:
    with _start(_ENDLESS, path) as process:
        assert process.stdout
        told = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()

    acknowledged = {line.split()[0]: int(line.split()[1]) for line in told if line.endswith("\n")}
    leases = {lease.disk: lease.holder for lease in LeaseFile(path).list()}
    last = max(acknowledged.values())
    for disk, number in acknowledged.items():
        # The call that was under way may have been done or not; no other may be missing.
        under_way = f"disk-{(last + 1) % 40}" == disk
        possible = {f"default/db-{number}", *(("", f"default/db-{last + 1}") if under_way else ())}
        assert leases[disk] in possible
    Leases(LeaseFile(path)).acquire(Claim("after", "default/db-0", "coordinator"))


def test_the_file_is_readable_json(path: Path) -> None:
    store = LeaseFile(path)
    put(store, Lease("uploads"))
    put(store, replace(FULL, disk="pgdata"))

    document = json.loads(path.read_text())
    assert list(document) == ["version", "leases"]
    assert list(document["leases"]) == ["pgdata", "uploads"]
    assert document["leases"]["pgdata"] == {
        "holderIdentity": "default/db-0",
        "node": "coordinator",
        "acquireTime": "2026-01-02T12:00:00.123456+00:00",
        "renewTime": "2026-01-02T12:00:00.123457+00:00",
        "leaseTransitions": 7,
        "readOnly": True,
        "shared": True,
        "waiting": [
            {
                "holderIdentity": "default/db-2",
                "since": "2026-01-02T12:00:00.123456+00:00",
                "asked": "2026-01-02T12:00:05.123456+00:00",
                "timeoutSeconds": 0.5,
            },
            {
                "holderIdentity": "default/db-1",
                "since": "2026-01-02T12:00:00.123456+00:00",
                "asked": "2026-01-02T12:00:00.123456+00:00",
                "timeoutSeconds": 300.0,
            },
        ],
    }
    assert [line for line in path.read_text().splitlines() if line.startswith('    "pgdata"')]


def _document(**changes: object) -> str:
    record = {
        "holderIdentity": "default/db-0",
        "node": "coordinator",
        "acquireTime": "2026-01-02T12:00:00.123456+00:00",
        "renewTime": None,
        "leaseTransitions": 0,
        "readOnly": False,
        "shared": False,
        "waiting": [],
        **changes,
    }
    return json.dumps({"version": 1, "leases": {"pgdata": record}})


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"version": 1}',
        b'{"version": 2, "leases": {}}',
        b'{"version": 1, "leases": 3}',
        _document()[:-20].encode(),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(path: Path, damage: bytes) -> None:
    store = LeaseFile(path)
    path.write_bytes(damage)

    for attempt in (
        lambda: LeaseFile(path),
        store.list,
        lambda: store.read("pgdata"),
        lambda: put(store, Lease("uploads")),
        lambda: store.delete("pgdata"),
    ):
        with pytest.raises(Unavailable, match="is damaged") as caught:
            attempt()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == damage


@pytest.mark.parametrize(
    "changes",
    [
        {"holderIdentity": 7},
        {"leaseTransitions": "7"},
        {"readOnly": "yes"},
        {"acquireTime": "yesterday"},
        {"acquireTime": "2026-01-02T12:00:00"},
        {"waiting": [{"holderIdentity": "default/db-1"}]},
        {"waiting": 1},
    ],
)
def test_a_damaged_record_is_named_and_the_others_still_work(
    path: Path, changes: dict[str, object]
) -> None:
    path.write_text(_document(**changes))
    store = LeaseFile(path)

    for attempt in (
        store.list,
        lambda: store.read("pgdata"),
        lambda: put(store, Lease("pgdata")),
    ):
        with pytest.raises(Unavailable, match=r'is damaged \(at disk "pgdata"'):
            attempt()
    put(store, FULL)
    assert store.read(FULL.disk) == FULL
    assert (
        json.loads(path.read_text())["leases"]["pgdata"]
        == (json.loads(_document(**changes))["leases"]["pgdata"])
    )


def test_a_file_that_cannot_be_written_is_named(path: Path) -> None:
    store = LeaseFile(path)
    put(store, FULL)
    path.with_name("leases.json.new").mkdir()

    with pytest.raises(Unavailable, match=rf"the lease file {path} cannot be written"):
        put(store, Lease("pgdata"))

    assert store.list() == [FULL]


def test_a_place_that_can_have_no_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InvalidRequest, match=r"the lease file .*/file/leases\.json cannot be used"):
        LeaseFile(tmp_path / "file" / "leases.json")
    with pytest.raises(InvalidRequest, match="cannot be used"):
        LeaseFile(tmp_path)


def test_its_folder_is_made_and_nobody_else_may_write(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "leases.json"

    put(LeaseFile(path), FULL)

    assert LeaseFile(path).list() == [FULL]
    assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH)


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "elsewhere.json"
    path.symlink_to(real)

    put(LeaseFile(path), FULL)

    assert path.is_symlink()
    assert LeaseFile(real).list() == [FULL]
