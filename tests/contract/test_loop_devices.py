"""What only a pool of loop files has to answer for: one device for a file, and no leftovers."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.loop_pool import LoopPool
from controller.pool import HostPool
from csi.disk import MIB, Disk
from csi.errors import DiskInUse
from csi.files import opened
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.host import Host, run
from tests.contract.images import devices_of, image_of

pytestmark = pytest.mark.loop_only


@pytest.fixture
def pgdata(pool: HostPool) -> Disk:
    return pool.create(Disk("pgdata", 64 * MIB))


def test_a_device_that_the_host_made_is_used(pool: HostPool, folder: Path, pgdata: Disk) -> None:
    by_hand = run("losetup", "--find", "--show", image_of(folder, pgdata.name)).strip()

    assert pool.attach("pgdata") == Path(by_hand)
    assert devices_of(image_of(folder, "pgdata")) == [by_hand]


def test_a_device_that_shows_another_disk_by_now_is_not_used(
    pool: HostPool, folder: Path, pgdata: Disk
) -> None:
    former = pool.attach(pgdata.name)
    run("losetup", "--detach", former)
    pool.create(Disk("other", 8 * MIB))
    other = pool.attach("other")
    by_hand = run("losetup", "--find", "--show", image_of(folder, "pgdata")).strip()

    assert other != Path(by_hand)
    assert pool.device("pgdata") == Path(by_hand)


@pytest.mark.parametrize("options", [["--read-only"], ["--offset", "4096"]], ids="".join)
def test_a_device_that_shows_less_than_the_disk_is_not_used(
    pool: HostPool, folder: Path, pgdata: Disk, options: list[str]
) -> None:
    image = image_of(folder, pgdata.name)
    by_hand = run("losetup", *options, "--find", "--show", image).strip()
    try:
        device = pool.attach("pgdata")
        raw.write(device, 0, b"writable")

        assert device != Path(by_hand)
        assert raw.size(device) == pgdata.size
    finally:
        run("losetup", "--detach", by_hand)


def test_a_file_has_one_device_however_many_attach_it(
    start: OpenPool, folder: Path, pgdata: Disk
) -> None:
    pools = [start() for _ in range(8)]
    together = threading.Barrier(8)

    def attach(pool: HostPool) -> Path:
        together.wait()
        return pool.attach(pgdata.name)

    for _ in range(10):
        with ThreadPoolExecutor(8) as callers:
            devices = set(callers.map(attach, pools))
        assert devices_of(image_of(folder, "pgdata")) == [str(device) for device in devices]
        pools[0].detach("pgdata")


def test_a_moved_folder_keeps_its_devices(tmp_path: Path) -> None:
    pool = LoopPool(tmp_path / "here", 1.0)
    pool.create(Disk("pgdata", 8 * MIB))
    device = pool.attach("pgdata")
    (tmp_path / "here").rename(tmp_path / "there")

    moved = LoopPool(tmp_path / "there", 1.0)

    assert moved.device("pgdata") == device
    assert moved.attach("pgdata") == device
    moved.delete("pgdata")
    assert raw.size(device) == 0


def test_disks_of_one_name_in_two_folders_are_two_disks(tmp_path: Path) -> None:
    pools = [LoopPool(tmp_path / name, 1.0) for name in ("here", "there")]
    for pool in pools:
        pool.create(Disk("pgdata", 8 * MIB))

    here, there = (pool.attach("pgdata") for pool in pools)
    raw.write(here, 0, b"here")
    pools[0].delete("pgdata")

    assert here != there
    assert raw.read(there, 0, 4) == bytes(4)
    pools[1].delete("pgdata")


def test_nothing_of_its_former_file_stays_with_a_device(pool: HostPool) -> None:
    pool.create(Disk("first", 8 * MIB, read_ahead_kib=4096))
    device = pool.attach("first")
    run("blockdev", "--setro", device)
    pool.delete("first")

    pool.create(Disk("second", 8 * MIB))
    again = pool.attach("second")

    assert again == device
    assert raw.read_ahead_kib(again) == 128
    raw.write(again, 0, b"writable")


def test_a_device_that_was_to_go_at_its_last_close_stays(pool: HostPool, pgdata: Disk) -> None:
    device = pool.attach(pgdata.name)
    with opened(device):
        run("losetup", "--detach", device)  # the kernel waits for the last one to close it
        assert pool.attach("pgdata") == device

    assert raw.size(device) == pgdata.size


def test_a_device_grows_with_a_file_that_a_killed_call_made_longer(
    pool: HostPool, folder: Path, pgdata: Disk
) -> None:
    device = pool.attach(pgdata.name)
    os.truncate(image_of(folder, "pgdata"), 128 * MIB)

    assert raw.size(pool.attach("pgdata")) == 128 * MIB
    os.truncate(image_of(folder, "pgdata"), 192 * MIB)
    pool.expand("pgdata", 192 * MIB)
    assert raw.size(device) == 192 * MIB


def test_a_device_is_published_somewhere_and_not_deleted(
    pool: HostPool, host: Host, tmp_path: Path, pgdata: Disk
) -> None:
    target = tmp_path / "device"
    target.touch()
    host.bind(pool.attach(pgdata.name), target)

    with pytest.raises(DiskInUse, match=f"mounted at {target}"):
        pool.delete("pgdata")


def test_looking_for_a_device_is_harmed_by_nobody_who_opens_the_file(
    folder: Path, pgdata: Disk
) -> None:
    image = image_of(folder, pgdata.name)
    look = (
        "import sys; from pathlib import Path; from node.loop_device import LoopDevices\n"
        "for _ in range(5000): LoopDevices().find(Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", look, image]) as looker:
        while looker.poll() is None:
            with opened(image, os.O_RDWR):
                pass

    assert looker.returncode == 0
