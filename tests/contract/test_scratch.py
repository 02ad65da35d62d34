"""Scratch volumes: disks like others, but in no list of disks and in no sum of promises."""

from dataclasses import replace

import pytest

from controller.pool import HostPool
from csi.disk import MIB, Content, Disk, NewSnapshot, Source, SourceKind
from csi.errors import PoolFull
from tests.contract import raw
from tests.contract.conftest import OpenPool
from tests.contract.test_disks import ratio_for

PGDATA = Source(SourceKind.DISK, "pgdata")
SCRATCH = Disk("csi-0123", 16 * MIB, filesystem="xfs", scratch_for="a pod's uid")


def test_the_mark_is_durable(pool: HostPool, start: OpenPool) -> None:
    assert pool.create(SCRATCH) == SCRATCH

    pool.mark(SCRATCH.name, Content.FORMATTED)

    marked = replace(SCRATCH, content=Content.FORMATTED)
    assert start().get(SCRATCH.name) == marked
    assert start().scratch() == [marked]


def test_no_list_of_disks_has_it(pool: HostPool) -> None:
    plain = pool.create(Disk("pgdata", 16 * MIB))
    pool.create(SCRATCH)

    assert pool.disks() == [plain]
    assert [one.disk for one in pool.inventory().disks] == [plain]
    assert pool.scratch() == [SCRATCH]
    pool.delete(SCRATCH.name)
    assert pool.scratch() == []
    assert pool.disks() == [plain]


def test_it_promises_nothing(pool: HostPool) -> None:
    pool.create(Disk("pgdata", 16 * MIB))
    before = pool.usage().provisioned

    pool.create(SCRATCH)
    pool.create(replace(SCRATCH, name="csi-copy", source=PGDATA))

    assert pool.usage().provisioned == pool.inventory().usage.provisioned == before


def test_a_copy_is_made_beyond_the_limit(pool: HostPool, start: OpenPool) -> None:
    pool.create(Disk("pgdata", 64 * MIB))
    pool.create_snapshots([NewSnapshot("monday", "pgdata")])
    full = start(overcommit=ratio_for(pool.usage(), 16 * MIB))

    for source in (PGDATA, Source(SourceKind.SNAPSHOT, "monday")):
        wanted = Disk(f"csi-{source.kind}", 64 * MIB, source=source, scratch_for="a pod's uid")
        assert full.create(wanted).size == 64 * MIB
    # A disk of users is refused all the same.
    with pytest.raises(PoolFull, match='disk "copy" needs 64 MiB'):
        full.create(Disk("copy", 64 * MIB, source=PGDATA))


def test_an_empty_one_needs_the_room_of_the_disk_that_comes_of_it(
    pool: HostPool, start: OpenPool
) -> None:
    full = start(overcommit=ratio_for(pool.usage(), 96 * MIB))
    with pytest.raises(PoolFull, match="needs 128 MiB"):
        full.create(replace(SCRATCH, size=128 * MIB))

    full.create(replace(SCRATCH, size=64 * MIB))

    restored = Disk("pgdata", 64 * MIB, source=Source(SourceKind.DISK, SCRATCH.name))
    assert full.create(restored).size == 64 * MIB


def test_its_clone_is_a_disk_that_outlives_it(pool: HostPool, start: OpenPool) -> None:
    pool.create(SCRATCH)
    raw.write(pool.attach(SCRATCH.name), MIB, b"first")
    pool.mark(SCRATCH.name, Content.FORMATTED)

    made = pool.create(Disk("pgdata", 16 * MIB, source=Source(SourceKind.DISK, SCRATCH.name)))
    pool.delete(SCRATCH.name)

    assert made.scratch_for == ""
    assert start().disks() == [made]
    assert (made.filesystem, made.content) == ("xfs", Content.FORMATTED)
    assert raw.read(pool.attach("pgdata"), MIB, 5) == b"first"


def test_one_that_exists_is_not_cut_again(pool: HostPool) -> None:
    pool.create(Disk("pgdata", 16 * MIB))
    raw.write(pool.attach("pgdata"), MIB, b"first")
    wanted = replace(SCRATCH, source=PGDATA)
    made = pool.create(wanted)
    raw.write(pool.attach("pgdata"), MIB, b"later")
    pool.detach("pgdata")
    pool.delete("pgdata")

    assert pool.create(wanted) == made
    assert raw.read(pool.attach(SCRATCH.name), MIB, 5) == b"first"
