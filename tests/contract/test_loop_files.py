"""What only a pool of loop files has to answer for: its folder and its files."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller import group_note, image_facts
from controller.image_store import snapshot_store
from controller.loop_pool import LoopPool
from controller.pool import HostPool
from csi.disk import GIB, MIB, Content, Disk, NewSnapshot, Snapshot, Source, SourceKind
from csi.errors import Busy, Incompatible, InvalidRequest, PoolFull, Unavailable
from csi.files import opened
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.host import run
from tests.contract.images import image_of

pytestmark = pytest.mark.loop_only

PGDATA = Source(SourceKind.DISK, "pgdata")


@pytest.fixture
def pgdata(pool: HostPool) -> Disk:
    return pool.create(Disk("pgdata", 64 * MIB))


# the folder


def test_the_folder_is_made_when_it_is_missing(tmp_path: Path) -> None:
    LoopPool(tmp_path / "new" / "pool", 1.0).check()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "pool").touch()

    with pytest.raises(InvalidRequest, match=r"pool cannot hold a pool: there is a file"):
        LoopPool(tmp_path / "pool", 1.0)
    with pytest.raises(InvalidRequest, match=r"below cannot hold a pool: there is a file"):
        LoopPool(tmp_path / "pool" / "below", 1.0)


@pytest.mark.parametrize(
    ("filesystem", "options", "why"),
    [
        ("ramfs", "rw", "use ext4, xfs or btrfs"),
        ("tmpfs", "ro", "its filesystem is read-only"),
    ],
)
def test_a_folder_that_cannot_hold_images_is_refused(
    tmp_path: Path, filesystem: str, options: str, why: str
) -> None:
    run("mount", "-t", filesystem, "-o", options, "none", tmp_path)
    try:
        with pytest.raises(InvalidRequest, match=f"{tmp_path} cannot hold a pool: .*{why}"):
            LoopPool(tmp_path, 1.0)
    finally:
        run("umount", tmp_path)


def test_a_pool_whose_folder_is_gone_says_so(tmp_path: Path) -> None:
    pool = LoopPool(tmp_path / "pool", 1.0)
    shutil.rmtree(tmp_path / "pool")

    with pytest.raises(Unavailable, match=r"disks is gone; is its filesystem mounted\?"):
        pool.check()
    with pytest.raises(Unavailable, match='cannot create disk "pgdata"'):
        pool.create(Disk("pgdata", MIB))


def test_nobody_else_may_read_the_images(pool: HostPool, folder: Path, pgdata: Disk) -> None:
    pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])

    images = list(folder.rglob("*.img"))
    assert len(images) == 2
    assert all(image.stat().st_mode & 0o077 == 0 for image in images)


def test_disks_are_sparse(pool: HostPool, folder: Path) -> None:
    pool.create(Disk("huge", 40 * GIB))
    raw.write(pool.attach("huge"), 39 * GIB, b"something")

    pool.create_snapshots([NewSnapshot("nightly", "huge")])
    pool.create(Disk("clone", 40 * GIB, source=Source(SourceKind.DISK, "huge")))

    assert all(image.stat().st_blocks * 512 < MIB for image in folder.rglob("*.img"))


def test_long_zeros_are_not_copied(pool: HostPool, folder: Path, pgdata: Disk) -> None:
    raw.write(pool.attach(pgdata.name), 0, b"\xab" * MIB + bytes(32 * MIB) + b"\xab" * MIB)

    pool.create(Disk("clone", 64 * MIB, source=PGDATA))

    assert image_of(folder, "clone").stat().st_blocks * 512 < 4 * MIB
    assert raw.read(pool.attach("clone"), 33 * MIB, MIB) == b"\xab" * MIB


# files of others


def test_files_of_others_are_neither_listed_nor_touched(
    pool: HostPool, start: OpenPool, folder: Path, pgdata: Disk
) -> None:
    image = image_of(folder, "pgdata")
    others = [folder / "disks" / "notes.txt", folder / "disks" / "disk-a.img", folder / "README"]
    for other in others:
        other.write_text("mine")
    run("cp", "--preserve=all", image, image.with_name("disk-0123456789abcdef.img"))

    start().recover()

    assert pool.disks() == [pgdata]
    assert [other.read_text() for other in others] == ["mine"] * 3


@pytest.mark.parametrize("facts", [b"", b"{}", b"[]", b"not json", b'{"kind":"disk"}', b"\xff"])
def test_an_image_without_sound_facts_is_not_taken_for_a_disk(
    pool: HostPool, folder: Path, pgdata: Disk, facts: bytes
) -> None:
    image = image_of(folder, pgdata.name)
    original = os.getxattr(image, image_facts.ATTRIBUTE)
    os.setxattr(image, image_facts.ATTRIBUTE, facts)

    assert pool.disks() == []
    with pytest.raises(Incompatible, match=re.escape(str(image))):
        pool.create(Disk("pgdata", 64 * MIB))

    os.setxattr(image, image_facts.ATTRIBUTE, original)
    assert pool.disks() == [pgdata]


# copies


@pytest.fixture
def scribble(pool: HostPool, pgdata: Disk) -> Iterator[None]:
    """Somebody writes to the raw device of a disk all the time."""
    device = pool.attach(pgdata.name)
    raw.write(device, 0, b"\xab" * 16 * MIB)
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            raw.write(device, number % 4096 * 4096, number.to_bytes(4096, "big"))
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("scribble")
def test_a_raw_device_that_is_written_to_is_not_copied_piece_by_piece(pool: HostPool) -> None:
    with pytest.raises(Busy, match='disk "pgdata" is written to as a raw device'):
        pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

    assert pool.snapshots() == []


def test_what_is_still_in_memory_of_a_raw_device_is_copied(pool: HostPool, pgdata: Disk) -> None:
    with opened(pool.attach(pgdata.name), os.O_RDWR) as fd:
        os.pwrite(fd, b"not synced", 0)
        pool.create(Disk("clone", 64 * MIB, source=PGDATA))

    assert raw.read(pool.attach("clone"), 0, 10) == b"not synced"


class TestReflinks:
    """Copies on a filesystem that can share blocks."""

    @pytest.fixture
    def copying(self) -> str:
        return "reflink"

    @pytest.mark.usefixtures("copying", "scribble")
    def test_a_raw_device_that_is_written_to_is_copied_at_one_moment(self, pool: HostPool) -> None:
        (snapshot,) = pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

        assert snapshot.size == 64 * MIB

    @pytest.mark.usefixtures("copying")
    def test_copies_take_no_room(self, pool: HostPool, folder: Path) -> None:
        pool.create(Disk("pgdata", 256 * MIB))
        raw.write(pool.attach("pgdata"), 0, b"\xab" * 128 * MIB)
        before = os.statvfs(folder)

        pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
        pool.create(Disk("clone", 256 * MIB, source=PGDATA))

        after = os.statvfs(folder)
        assert (before.f_bfree - after.f_bfree) * before.f_frsize < 8 * MIB
        usage = pool.usage()
        assert usage.used <= usage.size <= before.f_blocks * before.f_frsize


@pytest.fixture
def small_pool(tmp_path: Path) -> Iterator[LoopPool]:
    """A pool on an ext4 filesystem of 64 MiB, half of it taken by one disk."""
    image = tmp_path / "small.img"
    with image.open("xb") as file:
        file.truncate(64 * MIB)
    folder = tmp_path / "small"
    folder.mkdir()
    run("mkfs.ext4", "-q", "-m", "0", image)
    run("mount", "-o", "loop", image, folder)
    pool = LoopPool(folder, 100.0)
    pool.create(Disk("pgdata", 64 * MIB))
    raw.write(pool.attach("pgdata"), 0, b"\xab" * 32 * MIB)
    yield pool
    pool.detach("pgdata")
    run("umount", folder)


def test_a_copy_for_which_there_is_no_room_is_not_begun(small_pool: LoopPool) -> None:
    before = small_pool.usage()

    with pytest.raises(
        PoolFull,
        match=r'no room to copy disk "pgdata": a copy needs 32\S* MiB, but .* only \S+ MiB left',
    ):
        small_pool.create(Disk("clone", 64 * MIB, source=PGDATA))
    with pytest.raises(PoolFull, match=r"a copy needs 32\S* MiB"):
        small_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

    assert small_pool.usage() == before
    assert [disk.name for disk in small_pool.disks()] == ["pgdata"]
    assert small_pool.snapshots() == []


def test_a_pool_is_as_large_as_its_filesystem_lets_it(small_pool: LoopPool) -> None:
    usage = small_pool.usage()

    assert 32 * MIB <= usage.used < 34 * MIB
    assert 48 * MIB < usage.size <= 64 * MIB


# groups


def test_a_group_of_which_a_killed_driver_made_a_part_is_undone(
    pool: HostPool, folder: Path, pgdata: Disk
) -> None:
    (older,) = pool.create_snapshots([NewSnapshot("older", pgdata.name)])
    program = (
        "import os, sys; from pathlib import Path\n"
        "from tests.contract.test_loop_files import publish_half\n"
        "publish_half(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, folder / "snapshots"], check=False)
    assert done.returncode == -signal.SIGKILL
    half = [snapshot.name for snapshot in pool.snapshots()]

    pool.recover()

    assert half == ["1", "older"]
    assert pool.snapshots() == [older]
    assert len(list((folder / "snapshots").iterdir())) == 1


def publish_half(folder: Path) -> None:
    """Publish one of the two snapshots of a group, and be killed."""
    store = snapshot_store(folder)
    with store.draft() as first, store.draft() as second:
        first.describe(image_facts.encode(Snapshot("1", "pgdata", 0, 0, "group")))
        members = {store.path("1"): first, store.path("2"): second}
        with group_note.noted(folder, members):
            store.publish(first, Snapshot("1", "pgdata", 0, 0, "group"))
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_group_that_a_living_driver_is_making_is_left_alone(pool: HostPool, folder: Path) -> None:
    store = snapshot_store(folder / "snapshots")
    one = Snapshot("1", "pgdata", 0, 0, "group")
    with store.draft() as draft:
        draft.describe(image_facts.encode(one))
        with group_note.noted(store.folder, {store.path("1"): draft}):
            store.publish(draft, one)
            pool.recover()

    assert pool.snapshots() == [one]


def test_a_group_that_fails_half_way_is_undone_at_once(
    pool: HostPool, folder: Path, pgdata: Disk
) -> None:
    pool.create(Disk("wal", 8 * MIB))
    planted = snapshot_store(folder / "snapshots").path("2")
    planted.write_text("somebody else's")

    with pytest.raises(Incompatible, match=re.escape(str(planted))):
        pool.create_snapshots([NewSnapshot("1", pgdata.name), NewSnapshot("2", "wal")])

    assert pool.snapshots() == []
    assert [path.name for path in planted.parent.iterdir()] == [planted.name]


def test_facts_of_a_later_version_do_not_confuse_this_one(
    pool: HostPool, folder: Path, pgdata: Disk
) -> None:
    image = image_of(folder, pgdata.name)
    facts = os.getxattr(image, image_facts.ATTRIBUTE)
    os.setxattr(image, image_facts.ATTRIBUTE, facts.replace(b"{", b'{"colour":"blue",', 1))

    assert pool.disks() == [pgdata]
    pool.mark("pgdata", Content.RAW)
    assert pool.get("pgdata").content is Content.RAW
