"""kill -9 of the driver at any moment: it starts again, the call is repeated, no byte is lost.

Kubernetes repeats a call until it succeeds, so that is what these tests do.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import grpc
import pytest

from csi.disk import GIB, MIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator, refused
from tests.life.conftest import Apps, Drivers
from tests.life.gate import gate
from tests.life.host import Host, command_of, descendants, was_frozen

Call = Callable[[], object]
PATIENCE = 60.0  # seconds within which a repeated call must have succeeded


@dataclass(frozen=True, slots=True)
class Story:
    """A disk's whole life, call by call."""

    db: Instance
    copy: Instance
    operator: Operator
    data: bytes

    def calls(self) -> Iterator[tuple[str, Call]]:
        disk, filesystem = self.db.disk, self.db.filesystem
        operator, db, copy = self.operator, self.db, self.copy
        yield "create", lambda: operator.create(disk, filesystem=filesystem)
        yield "attach", db.attach
        yield "stage", db.stage
        yield "publish", db.publish
        db.write(self.data)
        yield "snapshot", lambda: operator.snapshot(disk, "monday")
        yield "stats", db.stats
        db.write(b"after the cut", 2 * len(self.data))
        yield "restore", lambda: operator.restore(copy.disk, "monday", filesystem=filesystem)
        yield "attach copy", copy.attach
        yield "stage copy", copy.stage
        yield "publish copy", copy.publish
        assert copy.read(3 * len(self.data)).rstrip(b"\0") == self.data
        yield "expand", lambda: operator.expand(disk, GIB)
        if db.grows_in_use:
            yield "expand on node", lambda: db.expand(GIB)
            assert db.stats()[csi_pb2.VolumeUsage.BYTES].total > 0.9 * GIB
        assert db.read(len(self.data)) == self.data
        assert db.read(13, 2 * len(self.data)) == b"after the cut"
        for instance in (copy, db):
            yield "unpublish", instance.unpublish
            yield "unstage", instance.unstage
            yield "detach", instance.detach
        yield "delete snapshot", lambda: operator.delete_snapshot("monday")
        yield "delete copy", lambda: operator.delete(copy.disk)
        yield "attach again", db.attach
        yield "stage again", db.stage
        yield "publish again", db.publish
        assert db.stats()[csi_pb2.VolumeUsage.BYTES].total > 0.9 * GIB
        assert db.read(len(self.data)) == self.data
        yield "unpublish again", db.unpublish
        yield "unstage again", db.unstage
        yield "detach again", db.detach
        yield "delete", lambda: operator.delete(disk)


@pytest.fixture
def driver(drivers: Drivers) -> LocalDriver:
    """`miren-csi all`, running."""
    return drivers().start()


@pytest.fixture
def story(app: Apps, operator: Operator, filesystem: str) -> Story:
    db = app("pgdata", filesystem=filesystem)
    copy = app("pgdata-copy", pod="copy-0", filesystem=filesystem)
    return Story(db, copy, operator, Random(3).randbytes(5 * MIB))


@pytest.mark.loop_only
@pytest.mark.parametrize("filesystem", ["ext4"])
def test_a_kill_between_any_two_calls(driver: LocalDriver, story: Story, host: Host) -> None:
    for _, call in story.calls():
        call()
        driver.kill()
        driver.start()

    assert_nothing_is_left(story.operator, host)


@pytest.mark.parametrize(
    ("filesystem", "seed"),
    [
        ("ext4", 1),
        pytest.param("xfs", 2, marks=pytest.mark.loop_only),
        pytest.param("btrfs", 3, marks=pytest.mark.loop_only),
        pytest.param("", 4, id="block-4", marks=pytest.mark.loop_only),
    ],
)
def test_a_kill_in_the_middle_of_calls(
    driver: LocalDriver, story: Story, host: Host, seed: int
) -> None:
    durations = [seconds(call) for _, call in story.calls()]
    random = Random(seed)

    # Every second call of this life; another seed has the others.
    for number, (_, call) in enumerate(story.calls(), start=seed):
        if number % 2:
            kill_during(driver, call, durations[number - seed] * random.uniform(0.05, 0.95))
            driver.start()
        until_it_succeeds(call)

    assert_nothing_is_left(story.operator, host)


@pytest.mark.loop_only
@pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
def test_kills_in_the_middle_of_mkfs(
    driver: LocalDriver, app: Apps, operator: Operator, host: Host, filesystem: str
) -> None:
    operator.create("rehearsal", filesystem=filesystem)
    rehearsal = app("rehearsal", filesystem=filesystem)
    rehearsal.attach()
    duration = seconds(rehearsal.stage)
    rehearsal.unstage()
    random = Random(f"mkfs {filesystem}")

    for number in range(4):
        operator.create(f"disk-{number}", filesystem=filesystem)
        db = app(f"disk-{number}", filesystem=filesystem)
        db.attach()
        kill_during(driver, db.stage, duration * random.uniform(0.1, 0.8))
        driver.start()
        until_it_succeeds(db.stage)
        db.publish()
        db.write(b"first order")
        db.unpublish()
        db.unstage()
        db.stage()  # what was written survives: the kill did not make it look unformatted
        db.publish()
        assert db.read(100) == b"first order"
        db.stop()

    assert host.mounts() == []
    assert host.loop_devices() == []


@pytest.mark.parametrize(
    "filesystem",
    ["ext4", *(pytest.param(name, marks=pytest.mark.loop_only) for name in ("xfs", "btrfs"))],
)
def test_a_half_made_filesystem_is_made_again(
    drivers: Drivers, tmp_path: Path, filesystem: str
) -> None:
    driver = drivers()
    db = Instance(driver, tmp_path, "pgdata", filesystem=filesystem)
    with (
        gate(tmp_path / "gate", f"mkfs.{filesystem}", halfway=True) as mkfs,
        ThreadPoolExecutor(1) as threads,
    ):
        mkfs.guard(driver)
        driver.start()
        Operator(driver).create("pgdata", filesystem=filesystem)
        db.attach()
        staging = threads.submit(db.stage)
        mkfs.wait_until_reached()  # the device has a superblock by now, and little more
        os.kill(driver.pid, signal.SIGKILL)
        wait([staging])
        driver.kill()
    driver.start()

    until_it_succeeds(db.stage)

    db.publish()
    db.write(b"first order")
    assert db.read(100) == b"first order"
    db.stop()


@pytest.mark.loop_only
def test_an_mkfs_that_outlives_its_driver_does_no_harm(drivers: Drivers, tmp_path: Path) -> None:
    driver = drivers()
    db = Instance(driver, tmp_path, "pgdata")
    with gate(tmp_path / "gate", "mkfs.ext4") as mkfs, ThreadPoolExecutor(1) as threads:
        mkfs.guard(driver)
        driver.start()
        Operator(driver).create("pgdata")
        db.attach()
        staging = threads.submit(db.stage)
        mkfs.wait_until_reached()
        os.kill(driver.pid, signal.SIGKILL)
        wait([staging])
        driver.kill()
        mkfs.remove()
        driver.start()
        until_it_succeeds(db.stage)
        db.publish()
        db.write(b"first order")

        mkfs.open()  # now the old one wakes up
        mkfs.wait_until_gone()

    assert db.read(100) == b"first order"
    db.stop()
    db.deploy()
    assert db.read(100) == b"first order"


@pytest.mark.parametrize(
    ("everything", "filesystem"),
    [
        pytest.param(False, "ext4", id="driver", marks=pytest.mark.loop_only),
        pytest.param(True, "ext4", id="all"),
        pytest.param(True, "btrfs", id="all-btrfs"),
    ],
)
def test_a_kill_never_leaves_a_filesystem_frozen(
    driver: LocalDriver, app: Apps, operator: Operator, everything: bool, filesystem: str
) -> None:
    disks = ["orders", "ledger"]
    for disk in disks:
        operator.create(disk, filesystem=filesystem)
    orders, ledger = (app(disk, filesystem=filesystem).deploy() for disk in disks)
    for instance in (orders, ledger):
        instance.write(Random(5).randbytes(32 * MIB))

    def group(name: str) -> Call:
        request = csi_pb2.CreateVolumeGroupSnapshotRequest(name=name, source_volume_ids=disks)
        return lambda: driver.groups.CreateVolumeGroupSnapshot(request)

    duration = seconds(group("rehearsal"))
    for number, share in enumerate((0.3, 0.5, 0.7)):
        kill_during(driver, group(f"group-{number}"), duration * share, everything=everything)
        driver.start()
        assert_writable(orders)
        assert_writable(ledger)
        until_it_succeeds(group(f"group-{number}"))

    assert len(operator.snapshots()) == 2 * 4


def assert_writable(instance: Instance) -> None:
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(instance.write, b"goes on")
        done, _ = wait([writing], timeout=PATIENCE)
        assert done or not was_frozen(instance.target), f"{instance.target} was left frozen"
        writing.result()


@pytest.mark.lvm_only
def test_a_killed_lvm_shell_is_replaced(driver: LocalDriver, app: Apps, operator: Operator) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    db.write(b"first order")

    kill_shell(driver)
    operator.snapshot("pgdata", "monday")
    kill_shell(driver)
    operator.restore("copy", "monday")
    kill_shell(driver)
    assert operator.expand("pgdata", GIB) == GIB
    kill_shell(driver)
    operator.delete("copy")

    assert operator.disks() == ["pgdata"]
    assert operator.snapshots() == ["monday"]
    assert db.read(100) == b"first order"


@pytest.mark.lvm_only
def test_an_lvm_shell_killed_in_the_middle_of_a_command(
    driver: LocalDriver, app: Apps, operator: Operator, host: Host
) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    db.write(b"first order")
    random = Random(6)
    duration = seconds(lambda: operator.snapshot("pgdata", "rehearsal"))

    with ThreadPoolExecutor(1) as threads:
        for number in range(6):
            call = threads.submit(operator.snapshot, "pgdata", f"snapshot-{number}")
            wait([call], timeout=duration * random.uniform(0.1, 0.9))
            kill_shell(driver)
            call.result(timeout=PATIENCE)
            assert host.suspended_devices() == []
            db.write(b"goes on", 100)

    assert operator.snapshots() == ["rehearsal", *(f"snapshot-{n}" for n in range(6))]


@pytest.mark.lvm_only
def test_a_killed_lvm_command_is_to_be_repeated(driver: LocalDriver, operator: Operator) -> None:
    operator.create("pgdata")

    with killing_lvm(driver), refused(grpc.StatusCode.UNAVAILABLE, "killed", "try again"):
        operator.snapshot("pgdata", "monday")

    operator.snapshot("pgdata", "monday")


@pytest.mark.lvm_only
def test_lvm_commands_killed_in_their_middle(
    driver: LocalDriver, app: Apps, operator: Operator, host: Host
) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    duration = seconds(lambda: operator.snapshot("pgdata", "rehearsal"))
    names = [f"snapshot-{number}" for number in range(5)]

    for share, name in enumerate(names, start=1):
        with ThreadPoolExecutor(1) as threads:
            call = threads.submit(operator.snapshot, "pgdata", name)
            wait([call], timeout=duration * share / 10)
            with killing_lvm(driver):
                wait([call])
        until_it_succeeds(partial(operator.snapshot, "pgdata", name))
        assert host.suspended_devices() == []
        db.write(b"goes on")

    assert operator.snapshots() == ["rehearsal", *names]


@contextlib.contextmanager
def killing_lvm(driver: LocalDriver) -> Iterator[None]:
    """kill -9 every LVM command of the driver as soon as it appears, while inside."""
    stop = threading.Event()

    def kill() -> None:
        while not stop.is_set():
            for pid in descendants(driver.pid):
                if command_of(pid)[:1] == ["lvm"]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    with ThreadPoolExecutor(1) as threads:
        killing = threads.submit(kill)
        try:
            yield
        finally:
            stop.set()
        killing.result()


def seconds(call: Call) -> float:
    """How long a call takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def kill_during(driver: LocalDriver, call: Call, after: float, *, everything: bool = False) -> None:
    """Begin a call and kill the driver some seconds later; what it answers is all the same.

    Args: everything: all programs that it has started as well, as when its container is killed.
    """
    with ThreadPoolExecutor(1) as threads:
        under_way: Future[object] = threads.submit(call)
        wait([under_way], timeout=after)
        programs = descendants(driver.pid) if everything else []
        for pid in (driver.pid, *programs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait([under_way])
    driver.kill()


def until_it_succeeds(call: Call) -> None:
    """Repeat a call as Kubernetes does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call()
        except grpc.RpcError:
            if time.monotonic() > deadline:
                raise
        else:
            return


def kill_shell(driver: LocalDriver) -> None:
    """kill -9 the driver's long-lived `lvm`, if one runs now."""
    for pid in descendants(driver.pid):
        if command_of(pid) == ["lvm"]:
            os.kill(pid, signal.SIGKILL)


def assert_nothing_is_left(operator: Operator, host: Host) -> None:
    assert operator.disks() == []
    assert operator.snapshots() == []
    assert host.mounts() == []
    assert host.loop_devices() == []
    assert host.suspended_devices() == []
