"""The life of a disk, from the first deploy to its deletion, as Kubernetes drives it."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import grpc
import pytest

from csi.disk import GIB, MIB
from csi.stubs import csi_pb2
from tests.life.app import SIZE, Instance, Operator, from_disk, from_snapshot, refused
from tests.life.conftest import Apps
from tests.life.host import Host, was_frozen

BYTES = csi_pb2.VolumeUsage.BYTES
INODES = csi_pb2.VolumeUsage.INODES
KINDS = ["ext4", "xfs", "btrfs", pytest.param("", id="block")]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def orders() -> bytes:
    """What the app keeps on its disk."""
    return Random(4).randbytes(3 * MIB)


@pytest.mark.parametrize("filesystem", KINDS)
class TestEveryKindOfDisk:
    """Each filesystem, and the raw block device."""

    @pytest.fixture
    def db(self, app: Apps, operator: Operator, filesystem: str) -> Instance:
        """A running instance on a new disk."""
        operator.create("pgdata", filesystem=filesystem)
        return app("pgdata", filesystem=filesystem).deploy()

    def test_data_stays_until_the_disk_is_deleted(
        self, db: Instance, app: Apps, operator: Operator, orders: bytes, host: Host
    ) -> None:
        filesystem = db.filesystem
        db.write(orders)
        db.stop()
        assert host.mounts() == []
        assert host.loop_devices() == []

        report = app("pgdata", pod="report-0", filesystem=filesystem, read_only=True).deploy()
        assert digest(report.read(len(orders))) == digest(orders)
        with pytest.raises(OSError, match=r"Read-only file system|denied|not permitted"):
            report.write(b"no")
        report.stop()

        following = app("pgdata", pod="db-1", filesystem=filesystem).deploy()
        assert digest(following.read(len(orders))) == digest(orders)
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata", "default/db-1"):
            operator.delete("pgdata")
        following.detach()  # as if the controller had lost its leases: the node still has it
        with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata", str(following.target)):
            operator.delete("pgdata")
        following.stop()

        operator.delete("pgdata")
        operator.delete("pgdata")  # once more is fine
        assert operator.disks() == []
        assert host.mounts() == []
        assert host.loop_devices() == []
        with refused(grpc.StatusCode.NOT_FOUND, "pgdata"):
            operator.get("pgdata")

    def test_a_clone_of_a_snapshot_is_used_beside_its_origin(
        self, db: Instance, app: Apps, operator: Operator, orders: bytes, filesystem: str
    ) -> None:
        db.write(orders)
        operator.snapshot("pgdata", "before-upgrade")
        db.write(b"upgraded")

        operator.restore("pgdata-copy", "before-upgrade", filesystem=filesystem)
        audit = app("pgdata-copy", pod="audit-0", filesystem=filesystem).deploy()

        assert digest(audit.read(len(orders))) == digest(orders)
        assert db.read(8) == b"upgraded"
        if filesystem:
            assert audit.uuid() != db.uuid()
            assert not was_frozen(db.target)
        audit.write(b"audited!")
        assert db.read(8) == b"upgraded"
        audit.stop()
        db.stop()

    def test_it_grows_while_it_is_written(
        self, db: Instance, operator: Operator, orders: bytes
    ) -> None:
        before = db.stats()[BYTES].total
        with ThreadPoolExecutor(1) as threads:
            stop = threading.Event()
            writing = threads.submit(_write_on, db, orders, stop)
            try:
                assert operator.expand("pgdata", GIB) == GIB
                if db.grows_in_use:
                    db.expand(GIB)
                else:
                    with refused(grpc.StatusCode.FAILED_PRECONDITION, "CAP_SYS_RESOURCE"):
                        db.expand(GIB)
            finally:
                stop.set()
            written = writing.result()

        if not db.grows_in_use:
            db.stop()
            db.deploy()
        assert db.stats()[BYTES].total - before > 0.9 * (GIB - SIZE)
        for place in written:
            assert digest(db.read(len(orders), place)) == digest(orders)
        db.stop()


def _write_on(instance: Instance, data: bytes, stop: threading.Event) -> set[int]:
    """Write the data at one place after the other, until told to stop; return the places."""
    written: set[int] = set()
    place = 0
    while not written or not stop.is_set():
        instance.write(data, place)
        written.add(place)
        place = (place + len(data)) % (16 * len(data))
    return written


@pytest.mark.loop_only
def test_stats_tell_bytes_and_inodes(app: Apps, operator: Operator, orders: bytes) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    before = db.stats()

    db.write(orders)

    after = db.stats()
    facts = os.statvfs(db.target)
    assert after[BYTES].total == facts.f_blocks * facts.f_frsize
    assert after[BYTES].used - before[BYTES].used >= len(orders)
    assert after[BYTES].available <= before[BYTES].available - len(orders)
    assert after[INODES].used == before[INODES].used + 1
    assert after[INODES].total == facts.f_files


def test_a_clone_of_a_mounted_disk_has_all_that_was_synced(
    app: Apps, operator: Operator, orders: bytes
) -> None:
    operator.create("pgdata", filesystem="xfs")
    db = app("pgdata", filesystem="xfs").deploy()
    db.write(orders)

    operator.clone("pgdata-copy", "pgdata", filesystem="xfs")
    copy = app("pgdata-copy", pod="copy-0", filesystem="xfs").deploy()

    assert digest(copy.read(len(orders))) == digest(orders)
    assert copy.uuid() != db.uuid()
    db.write(orders)  # it is not frozen


def test_a_restored_disk_may_be_larger_and_fills_its_size(
    app: Apps, operator: Operator, orders: bytes
) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    db.write(orders)
    db.stop()
    operator.snapshot("pgdata", "monday")

    operator.create("bigger", size=GIB, source=from_snapshot("monday"))
    larger = app("bigger").deploy()

    assert digest(larger.read(len(orders))) == digest(orders)
    assert larger.stats()[BYTES].total > 0.9 * GIB


@pytest.mark.loop_only
def test_a_copy_is_never_smaller_than_its_source(operator: Operator) -> None:
    operator.create("pgdata")
    operator.snapshot("pgdata", "monday")

    for name, source in (("a", from_snapshot("monday")), ("b", from_disk("pgdata"))):
        copy = operator.create(name, size=SIZE // 2, source=source)
        assert copy.capacity_bytes == SIZE


def test_snapshots_outlive_their_disk(app: Apps, operator: Operator, orders: bytes) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    db.write(orders)
    operator.snapshot("pgdata", "last")
    db.stop()
    operator.delete("pgdata")
    assert operator.snapshots() == ["last"]

    operator.restore("pgdata", "last")
    again = app("pgdata").deploy()

    assert digest(again.read(len(orders))) == digest(orders)
    operator.delete_snapshot("last")
    operator.delete_snapshot("last")  # once more is fine
    assert operator.snapshots() == []
    again.write(orders)
