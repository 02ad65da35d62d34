"""Group snapshots: several disks at one moment."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator, refused
from tests.life.conftest import Apps
from tests.life.host import was_frozen

LINE = 16


@contextmanager
def writing_in_lockstep(first: Instance, second: Instance) -> Iterator[None]:
    """An app that writes line n to its first disk, then to its second, as fast as it can."""
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            line = f"{number:0{LINE - 1}}\n".encode()
            first.write(line, number * LINE)
            second.write(line, number * LINE)
            number += 1
            if number == 20:
                begun.set()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            assert begun.wait(60)
            yield
        finally:
            stop.set()
        writing.result()


def lines_in(instance: Instance) -> list[int]:
    return [int(line) for line in instance.read(1 << 24).rstrip(b"\0").decode().splitlines()]


@pytest.mark.parametrize(
    "kinds",
    [
        ("ext4", "xfs"),
        ("btrfs", "btrfs"),
        # Nobody can hold raw devices of loop files still.
        pytest.param(("", ""), id="block", marks=pytest.mark.lvm_only),
    ],
)
def test_disks_written_in_lockstep_agree_in_their_group_snapshot(
    app: Apps, driver: LocalDriver, operator: Operator, kinds: tuple[str, str]
) -> None:
    filesystems = dict(zip(("orders", "ledger"), kinds, strict=True))
    for disk, filesystem in filesystems.items():
        operator.create(disk, filesystem=filesystem)
    orders, ledger = (
        app(disk, filesystem=filesystem).deploy() for disk, filesystem in filesystems.items()
    )

    request = csi_pb2.CreateVolumeGroupSnapshotRequest(
        name="monday", source_volume_ids=list(filesystems)
    )
    with writing_in_lockstep(orders, ledger):
        group = driver.groups.CreateVolumeGroupSnapshot(request).group_snapshot
    for instance in (orders, ledger):
        assert not (instance.filesystem and was_frozen(instance.target))

    members = {one.source_volume_id: one.snapshot_id for one in group.snapshots}
    copies = []
    for disk, filesystem in filesystems.items():
        operator.restore(f"{disk}-copy", members[disk], filesystem=filesystem)
        copies.append(app(f"{disk}-copy", pod="audit-0", filesystem=filesystem).deploy())
    first, second = map(lines_in, copies)
    assert first == list(range(len(first)))
    assert second == list(range(len(second)))
    assert len(second) >= 20
    assert len(first) - len(second) in {0, 1}


def test_a_group_with_a_missing_disk_leaves_nothing(
    driver: LocalDriver, operator: Operator
) -> None:
    operator.create("orders")

    request = csi_pb2.CreateVolumeGroupSnapshotRequest(
        name="monday", source_volume_ids=["orders", "never-made"]
    )
    with refused(grpc.StatusCode.NOT_FOUND, "never-made"):
        driver.groups.CreateVolumeGroupSnapshot(request)

    assert operator.snapshots() == []
