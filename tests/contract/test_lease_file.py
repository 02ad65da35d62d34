"""What only the lease file has to answer for: kills, damage, and who may read it."""

import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controller.lease import Claim, Lease
from controller.lease_file import LeaseFile
from controller.leases import Leases
from csi.errors import InvalidRequest, Unavailable
from tests.contract.leases import FULL, put

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases.json"


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
