"""A driver that is killed in the middle of a cut: nothing stays frozen, nothing is half there."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from controller.device_mapper import DeviceMapper
from controller.pool import HostPool
from csi.disk import MIB, Content, Disk
from tests.contract.conftest import OpenPool
from tests.contract.host import Host, is_writable, run

DISKS = ("data", "wal")

Cutting = Callable[[], subprocess.Popen[str]]
Wait = Callable[[subprocess.Popen[str]], None]


@pytest.fixture
def targets(pool: HostPool, host: Host) -> list[Path]:
    """Where the disks are mounted; copying them takes a while."""
    places = []
    for name in DISKS:
        pool.create(Disk(name, 64 * MIB))
        device = pool.attach(name)
        host.format(device, "ext4")
        pool.mark(name, Content.FORMATTED)
        target = host.mount(device)
        (target / "ballast").write_bytes(os.urandom(24 * MIB))
        places.append(target)
    return places


@pytest.fixture
def cutting(pool_spec: str) -> Iterator[Cutting]:
    """Starts drivers that cut groups of all disks; returned when the first group is there."""
    drivers: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "tests.contract.cutting", pool_spec, *DISKS]
        driver = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        drivers.append(driver)
        assert driver.stdout
        assert driver.stdout.readline().strip().isdecimal()
        return driver

    yield start
    for driver in drivers:
        driver.kill()
        driver.wait()
        if driver.stdout:
            driver.stdout.close()


@pytest.fixture
def wait_until_frozen(pool_spec: str) -> Wait:
    """Waits for a moment in which disks are frozen, one at least."""
    kind, _, place = pool_spec.partition(":")
    mapper = DeviceMapper(place.partition("/")[0])

    def is_frozen(pid: int) -> bool:
        if kind == "lvm":
            return bool(mapper.suspended())
        return any(has_frozen(child) for child in children(pid))  # their watchdog has said so

    def wait(driver: subprocess.Popen[str]) -> None:
        while driver.poll() is None:
            if is_frozen(driver.pid):
                return
        raise AssertionError(f"the driver ended by itself: {driver.returncode}")

    return wait


def has_frozen(pid: str) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return name == "sh" and Path(f"/proc/{pid}/fd/1").readlink() == Path("/dev/null")
    except OSError:
        return False


def children(pid: int) -> list[str]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [child for file in tasks for child in file.read_text().split()]
    except OSError:  # a thread or all of it has just ended
        return []


def promised(driver: subprocess.Popen[str]) -> int:
    """How many groups a driver that has ended was sure of, at least."""
    assert driver.stdout
    return 1 + len(driver.stdout.read().splitlines())


def assert_whole_groups(pool: HostPool, at_least: int) -> None:
    groups: dict[str, set[str]] = {}
    for snapshot in pool.snapshots():
        groups.setdefault(snapshot.group, set()).add(snapshot.disk)
    assert all(disks == set(DISKS) for disks in groups.values()), groups
    assert len(groups) >= at_least


def test_a_killed_driver_leaves_nothing_frozen(
    start: OpenPool, targets: list[Path], cutting: Cutting, wait_until_frozen: Wait
) -> None:
    driver = cutting()
    wait_until_frozen(driver)

    driver.kill()
    driver.wait()

    assert all(is_writable(target, within=30) for target in targets)
    recovered = start()
    recovered.recover()
    assert_whole_groups(recovered, at_least=promised(driver))


def test_if_the_watchdog_is_killed_too_the_next_driver_thaws(
    start: OpenPool, targets: list[Path], cutting: Cutting, wait_until_frozen: Wait
) -> None:
    # It is over in milliseconds on LVM: the kill may come too late.
    for _ in range(20):
        driver = cutting()
        wait_until_frozen(driver)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        if not all(is_writable(target, within=0.5) for target in targets):
            break
    else:
        raise AssertionError("no kill left anything frozen")
    recovered = start()
    recovered.recover()

    assert all(is_writable(target, within=30) for target in targets)
    assert_whole_groups(recovered, at_least=promised(driver))


def test_a_killed_driver_leaves_the_pool_usable(  # noqa: PLR0917 - fixtures
    pool: HostPool,
    pool_spec: str,
    start: OpenPool,
    targets: list[Path],
    cutting: Cutting,
    wait_until_frozen: Wait,
) -> None:
    random = Random(11)
    for _ in range(5):
        driver = cutting()
        wait_until_frozen(driver)
        time.sleep(random.uniform(0, 0.06))  # other moments than the first of being frozen
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()

    recovered = start()
    recovered.recover()
    if pool_spec.startswith("lvm:"):
        assert_lvm_knows_all_that_the_kernel_has(*pool_spec.removeprefix("lvm:").split("/"))
    recovered.delete_snapshots([snapshot.name for snapshot in recovered.snapshots()])

    assert targets
    assert recovered.snapshots() == []
    assert [disk.name for disk in recovered.disks()] == list(DISKS)
    assert recovered.usage().provisioned == pool.usage().provisioned == 128 * MIB


def assert_lvm_knows_all_that_the_kernel_has(vg: str, thin_pool: str) -> None:
    """Else LVM would give the number of a volume again, and never get one with it."""
    report = run("lvs", "--noheadings", "-o", "thin_id", "--select", f"pool_lv={thin_pool}", vg)
    mapper = DeviceMapper(vg)
    message = ("dmsetup", "message", mapper.path(thin_pool, "-tpool").name, "0")
    run(*message, "reserve_metadata_snap")
    try:
        dump = run("thin_dump", "-m", mapper.path(thin_pool, "_tmeta"))
    finally:
        run(*message, "release_metadata_snap")
    assert set(re.findall(r'<device dev_id="(\d+)"', dump)) <= set(report.split())
