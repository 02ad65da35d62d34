"""Snapshots and clones: whole copies of one moment, each with a life of its own."""

from dataclasses import replace

import pytest

from controller.pool import HostPool
from csi.disk import MIB, Content, Disk, NewSnapshot, Source, SourceKind
from csi.errors import NotFound, OutOfRange, PoolFull
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.test_disks import AWKWARD_NAMES, ratio_for

pytestmark = pytest.mark.usefixtures("copying")

PGDATA = Source(SourceKind.DISK, "pgdata")
NIGHTLY = Source(SourceKind.SNAPSHOT, "nightly")


@pytest.fixture
def pgdata(pool: HostPool) -> Disk:
    """A formatted disk (says its record) with something written at 1 MiB."""
    pool.create(Disk("pgdata", 8 * MIB, filesystem="xfs", created_by="shop/db"))
    raw.write(pool.attach("pgdata"), MIB, b"first")
    pool.mark("pgdata", Content.FORMATTED)
    return pool.get("pgdata")


def content(pool: HostPool, name: str) -> bytes:
    """What a disk has at 1 MiB."""
    return raw.read(pool.attach(name), MIB, 5)


def restored(pool: HostPool, snapshot: str) -> bytes:
    """What a snapshot has at 1 MiB, seen through a clone of it."""
    name = f"restored {snapshot}"
    size = pool.get_snapshot(snapshot).size
    pool.create(Disk(name, size, source=Source(SourceKind.SNAPSHOT, snapshot)))
    return content(pool, name)


# snapshots


def test_a_snapshot_says_of_what_it_is_and_when(
    pool: HostPool, start: OpenPool, pgdata: Disk
) -> None:
    (before,) = pool.create_snapshots([NewSnapshot("before", "pgdata")])
    (snapshot,) = pool.create_snapshots([NewSnapshot("nightly", "pgdata", group="all disks")])
    (after,) = pool.create_snapshots([NewSnapshot("after", "pgdata")])

    assert (snapshot.name, snapshot.disk, snapshot.group) == ("nightly", "pgdata", "all disks")
    assert (snapshot.size, snapshot.filesystem) == (pgdata.size, "xfs")
    assert snapshot.content is Content.FORMATTED
    assert before.created_ns < snapshot.created_ns < after.created_ns
    assert start().get_snapshot("nightly") == snapshot
    assert start().snapshots() == [after, before, snapshot]


def test_a_snapshot_keeps_what_its_disk_had(pool: HostPool, pgdata: Disk) -> None:
    pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])

    raw.write(pool.attach("pgdata"), MIB, b"later")

    assert restored(pool, "nightly") == b"first"
    assert content(pool, "pgdata") == b"later"


def test_a_snapshot_outlives_its_disk(pool: HostPool, pgdata: Disk) -> None:
    pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

    pool.delete("pgdata")

    assert pool.get_snapshot("nightly").disk == pgdata.name
    assert restored(pool, "nightly") == b"first"


def test_a_snapshot_that_exists_is_not_cut_again(pool: HostPool, pgdata: Disk) -> None:
    (first,) = pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])
    raw.write(pool.attach("pgdata"), MIB, b"later")

    (again,) = pool.create_snapshots([NewSnapshot("nightly", "pgdata", group="other")])

    assert again == first
    assert pool.snapshots() == [first]
    assert restored(pool, "nightly") == b"first"


def test_a_group_is_cut_in_the_order_asked_for(pool: HostPool) -> None:
    for name in ("a", "b", "c"):
        pool.create(Disk(name, 8 * MIB))
    (existing,) = pool.create_snapshots([NewSnapshot("2", "b")])

    group = pool.create_snapshots(
        [NewSnapshot("3", "c", "g"), NewSnapshot("2", "b", "g"), NewSnapshot("1", "a", "g")]
    )

    assert [(one.name, one.disk) for one in group] == [("3", "c"), ("2", "b"), ("1", "a")]
    assert group[1] == existing
    assert group[0].created_ns == group[2].created_ns
    assert pool.snapshots() == [group[2], existing, group[0]]


def test_a_group_with_a_disk_that_does_not_exist_is_not_cut(pool: HostPool, pgdata: Disk) -> None:
    with pytest.raises(NotFound, match='disk "nowhere" does not exist'):
        pool.create_snapshots([NewSnapshot("1", pgdata.name), NewSnapshot("2", "nowhere")])

    assert pool.snapshots() == []


@pytest.mark.parametrize("content_of_disk", [Content.PENDING, Content.RAW])
def test_nobody_knows_what_is_on_the_copy_of_a_disk_that_is_not_formatted(
    pool: HostPool, content_of_disk: Content
) -> None:
    pool.create(Disk("pgdata", 8 * MIB, filesystem="btrfs", content=content_of_disk))

    (snapshot,) = pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
    clone = pool.create(Disk("clone", 8 * MIB, source=PGDATA))
    restored = pool.create(Disk("restored", 8 * MIB, source=NIGHTLY))

    assert snapshot.content is clone.content is restored.content is Content.RAW
    assert snapshot.filesystem == clone.filesystem == restored.filesystem == "btrfs"
    assert not clone.fresh_uuid
    assert not restored.fresh_uuid


def test_only_snapshots_that_exist_are_deleted(pool: HostPool, pgdata: Disk) -> None:
    for name in ("1", "2", "3"):
        pool.create_snapshots([NewSnapshot(name, pgdata.name)])

    pool.delete_snapshots(["3", "nowhere", "1"])

    assert [snapshot.name for snapshot in pool.snapshots()] == ["2"]
    with pytest.raises(NotFound, match='snapshot "1" does not exist'):
        pool.get_snapshot("1")


def test_a_snapshot_may_have_the_name_of_a_disk_and_any_other(pool: HostPool, pgdata: Disk) -> None:
    names = AWKWARD_NAMES[:4]
    for name in names:
        pool.create_snapshots([NewSnapshot(name, pgdata.name)])

    assert [snapshot.name for snapshot in pool.snapshots()] == sorted(names)
    assert [disk.name for disk in pool.disks()] == ["pgdata"]


# clones


@pytest.mark.parametrize("source", [PGDATA, NIGHTLY], ids=["disk", "snapshot"])
def test_a_clone_starts_with_its_sources_content(
    pool: HostPool, start: OpenPool, pgdata: Disk, source: Source
) -> None:
    pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])

    clone = pool.create(
        Disk("clone", 8 * MIB, created_by="shop/test", source=source, read_ahead_kib=64)
    )
    raw.write(pool.attach("pgdata"), MIB, b"later")

    assert clone == start().get("clone")
    assert clone == Disk(
        "clone",
        8 * MIB,
        filesystem="xfs",
        content=Content.FORMATTED,
        created_by="shop/test",
        source=source,
        read_ahead_kib=64,
        fresh_uuid=True,
    )
    assert content(pool, "clone") == b"first"


def test_a_clone_and_its_source_do_not_need_each_other(pool: HostPool, pgdata: Disk) -> None:
    pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])
    pool.create(Disk("clone", 8 * MIB, source=NIGHTLY))
    pool.create(Disk("clone of the clone", 8 * MIB, source=Source(SourceKind.DISK, "clone")))
    raw.write(pool.attach("clone"), MIB, b"later")

    pool.delete("pgdata")
    pool.delete_snapshots(["nightly"])

    assert content(pool, "clone") == b"later"
    pool.delete("clone")
    assert content(pool, "clone of the clone") == b"first"


def test_a_clone_may_be_larger_than_its_source(pool: HostPool, pgdata: Disk) -> None:
    clone = pool.create(Disk("clone", pgdata.size + 8 * MIB, source=PGDATA))

    device = pool.attach("clone")
    assert raw.size(device) == clone.size == pgdata.size + 8 * MIB
    assert content(pool, "clone") == b"first"
    assert not any(raw.read(device, pgdata.size, 8 * MIB))


def test_a_clone_is_not_smaller_than_its_source(pool: HostPool, pgdata: Disk) -> None:
    with pytest.raises(OutOfRange, match=r'disk "clone" .* disk "pgdata"'):
        pool.create(Disk("clone", pgdata.size - 4 * MIB, source=PGDATA))

    assert pool.disks() == [pgdata]


@pytest.mark.parametrize("source", [PGDATA, NIGHTLY], ids=["disk", "snapshot"])
def test_there_is_no_clone_of_what_does_not_exist(pool: HostPool, source: Source) -> None:
    with pytest.raises(NotFound, match=f'{source.kind} "{source.name}" does not exist'):
        pool.create(Disk("clone", 8 * MIB, source=source))

    assert pool.disks() == []


def test_a_clone_that_exists_is_returned_even_without_its_source(
    pool: HostPool, pgdata: Disk
) -> None:
    clone = pool.create(Disk("clone", pgdata.size, source=PGDATA))
    pool.delete("pgdata")

    assert pool.create(Disk("clone", pgdata.size, source=PGDATA)) == clone


def test_a_clone_counts_as_promised_and_a_snapshot_does_not(pool: HostPool, pgdata: Disk) -> None:
    before = pool.usage().provisioned

    pool.create_snapshots([NewSnapshot("nightly", pgdata.name)])
    assert pool.usage().provisioned == before
    pool.create(Disk("clone", pgdata.size, source=PGDATA))
    assert pool.usage().provisioned == before + pgdata.size


def test_a_clone_beyond_the_overcommit_limit_is_not_made(
    pool: HostPool, start: OpenPool, pgdata: Disk
) -> None:
    tight = start(overcommit=ratio_for(pool.usage(), 100 * MIB))

    with pytest.raises(PoolFull, match='disk "clone" needs 200 MiB'):
        tight.create(Disk("clone", 200 * MIB, source=PGDATA))

    assert pool.disks() == [pgdata]


def test_marking_a_clone_says_that_its_uuid_is_its_own(
    pool: HostPool, start: OpenPool, pgdata: Disk
) -> None:
    clone = pool.create(Disk("clone", pgdata.size, source=PGDATA))

    pool.mark("clone", Content.FORMATTED)

    assert start().get("clone") == replace(clone, fresh_uuid=False)
