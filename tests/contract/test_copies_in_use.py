"""Copies of disks that somebody writes to at that moment: of one moment, and without a fault."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.pool import HostPool
from csi.disk import MIB, Content, Disk, NewSnapshot, Snapshot, Source, SourceKind
from tests.contract.host import Host
from tests.contract.test_devices import FILESYSTEMS
from tests.contract.writer import count, writing

pytestmark = pytest.mark.usefixtures("copying")


def mount_new(pool: HostPool, host: Host, name: str, filesystem: str = "ext4") -> Path:
    """Make a disk, format and mount it."""
    pool.create(Disk(name, FILESYSTEMS[filesystem], filesystem=filesystem))
    device = pool.attach(name)
    host.format(device, filesystem)
    pool.mark(name, Content.FORMATTED)
    return host.mount(device)


def fill(target: Path, size: int) -> None:
    (target / "ballast").write_bytes(b"\xab" * size)


def put_away(pool: HostPool, host: Host, targets: Sequence[Path], names: Sequence[str]) -> None:
    """Unmount and detach disks: no kernel mounts two copies of one XFS or btrfs side by side."""
    for target in targets:
        host.unmount(target)
    for name in names:
        pool.detach(name)


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_clone_of_a_disk_that_is_written_to_is_consistent(
    pool: HostPool, host: Host, filesystem: str
) -> None:
    target = mount_new(pool, host, "pgdata", filesystem)
    fill(target, 16 * MIB)
    with writing(target / "journal") as writer:
        safe_before = writer.acknowledged
        clone = pool.create(
            Disk("clone", FILESYSTEMS[filesystem], source=Source(SourceKind.DISK, "pgdata"))
        )
        safe_after = writer.acknowledged
        writer.wait_for_more(10)
    put_away(pool, host, [target], ["pgdata"])

    assert (clone.filesystem, clone.content) == (filesystem, Content.FORMATTED)
    device = pool.attach("clone")
    host.check(device, filesystem)
    with host.mounted(device) as copy:
        assert safe_before <= count(copy / "journal") <= safe_after + 1
        assert (copy / "ballast").read_bytes() == b"\xab" * 16 * MIB


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
def test_a_group_shows_one_moment_of_all_its_disks(
    pool: HostPool, host: Host, filesystem: str
) -> None:
    names = ("data", "wal", "log")
    targets = [mount_new(pool, host, name, filesystem) for name in names]
    for target in targets:
        fill(target, 16 * MIB)
    data, wal, log = (target / "journal" for target in targets)
    with writing(data, wal) as database, writing(log) as logger:
        safe_before = {
            "data": database.acknowledged,
            "wal": database.acknowledged,
            "log": logger.acknowledged,
        }
        snapshots = pool.create_snapshots(
            [NewSnapshot(f"{name} 1", name, "1") for name in ("wal", "log", "data")]
        )
        database.wait_for_more(10)
        logger.wait_for_more(10)
    put_away(pool, host, targets, names)

    found = {snapshot.disk: journal_of(pool, host, snapshot) for snapshot in snapshots}
    assert all(found[name] >= safe_before[name] for name in names)
    # A number goes to `data` first, and to `wal` when it is safe there.
    assert found["wal"] <= found["data"] <= found["wal"] + 1


def journal_of(pool: HostPool, host: Host, snapshot: Snapshot) -> int:
    """How far the journal in a snapshot goes; fails unless the whole of it is without a fault."""
    clone = Disk(
        f"clone of {snapshot.name}",
        snapshot.size,
        source=Source(SourceKind.SNAPSHOT, snapshot.name),
    )
    pool.create(clone)
    device = pool.attach(clone.name)
    host.check(device, snapshot.filesystem)
    with host.mounted(device) as copy:
        return count(copy / "journal")


def test_a_filesystem_that_is_mounted_twice_is_copied(pool: HostPool, host: Host) -> None:
    target = mount_new(pool, host, "pgdata")
    second = target.with_name("second")
    second.mkdir()
    host.bind(target, second)
    with writing(second / "journal") as writer:
        pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
        writer.wait_for_more(10)


def test_a_filesystem_that_is_mounted_read_only_is_copied(pool: HostPool, host: Host) -> None:
    host.unmount(mount_new(pool, host, "pgdata"))
    target = host.mount(pool.attach("pgdata"), "ro")

    pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

    host.unmount(target)
    with host.mounted(pool.attach("pgdata")) as writable:
        (writable / "file").touch()


def test_two_copies_of_one_disk_may_be_made_at_once(pool: HostPool, host: Host) -> None:
    target = mount_new(pool, host, "pgdata")
    with writing(target / "journal") as writer:
        wanted = [
            Disk(f"clone {number}", 64 * MIB, source=Source(SourceKind.DISK, "pgdata"))
            for number in range(4)
        ]
        with ThreadPoolExecutor(4) as callers:
            clones = list(callers.map(pool.create, wanted))
        writer.wait_for_more(10)

    for clone in clones:
        host.check(pool.attach(clone.name), "ext4")
