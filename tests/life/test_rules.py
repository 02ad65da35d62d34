"""The promises of Miren's documentation about disks, at the calls that Kubernetes makes."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi.disk import GIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.life.app import SIZE, Instance, Operator, refused
from tests.life.conftest import Apps, Drivers
from tests.life.host import Host

MULTI_WRITER = csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER


def pv(**attributes: str) -> dict[str, str]:
    """The attributes of a PV as the translator writes them."""
    return {"filesystem": "ext4", "createdBy": "shop", "leaseTimeout": "5m", **attributes}


def test_a_disk_is_made_at_the_first_deploy(app: Apps, operator: Operator) -> None:
    db = app("pgdata", filesystem="xfs", attributes=pv(size="1Gi", filesystem="xfs")).deploy()

    db.write(b"first order")
    assert operator.get("pgdata").capacity_bytes == GIB
    assert _filesystem(db) == "xfs"


@pytest.mark.loop_only
def test_a_missing_disk_without_a_size_is_not_made(app: Apps, operator: Operator) -> None:
    with refused(grpc.StatusCode.NOT_FOUND) as refusal:
        app("pgdata", attributes=pv()).attach()

    assert refusal.sentence == (
        'disk "pgdata" does not exist and no size specified for auto-creation'
    )
    assert operator.disks() == []


def test_an_existing_disk_keeps_its_size_and_filesystem(app: Apps, operator: Operator) -> None:
    operator.create("pgdata", filesystem="xfs")

    # The app.toml says 2 GiB of ext4, but the disk is there already.
    attributes = pv(size="2Gi", filesystem="ext4")
    db = app("pgdata", filesystem="ext4", attributes=attributes).deploy()

    assert operator.get("pgdata").capacity_bytes == SIZE
    assert _filesystem(db) == "xfs"


@pytest.mark.loop_only
def test_an_app_finds_the_disk_of_another_app(app: Apps) -> None:
    shop = app("pgdata", attributes=pv(size="1Gi")).deploy()
    shop.write(b"first order")
    shop.stop()

    report = app("pgdata", pod="report-0", attributes=pv(createdBy="report")).deploy()

    assert report.read(100) == b"first order"


def test_data_remains_when_nothing_uses_the_disk(
    app: Apps, driver: LocalDriver, operator: Operator, host: Host
) -> None:
    db = app("pgdata", attributes=pv(size="1Gi")).deploy()
    db.write(b"first order")
    db.stop()
    driver.stop()
    host.clear()

    driver.start()

    assert operator.disks() == ["pgdata"]
    assert db.deploy().read(100) == b"first order"


@pytest.mark.loop_only
def test_a_second_instance_waits_and_hears_who_has_the_disk(app: Apps, driver: LocalDriver) -> None:
    db = app("pgdata", attributes=pv(size="1Gi")).deploy()
    second = app("pgdata", pod="db-1", attributes=pv(size="1Gi"))

    with refused(grpc.StatusCode.ABORTED, "pgdata", "default/db-0", "5m"):
        second.attach()
    lease = _lease(driver, "pgdata")
    assert lease["holderIdentity"] == "default/db-0"
    assert [one["holderIdentity"] for one in lease["waiting"]] == ["default/db-1"]

    db.stop()
    second.attach()
    lease = _lease(driver, "pgdata")
    assert lease["holderIdentity"] == "default/db-1"
    assert lease["leaseTransitions"] == 1
    assert lease["waiting"] == []


@pytest.mark.loop_only
def test_the_wait_ends_after_lease_timeout(app: Apps) -> None:
    db = app("pgdata", attributes=pv(size="1Gi")).deploy()
    second = app("pgdata", pod="db-1", attributes=pv(size="1Gi", leaseTimeout="1s"))

    with refused(grpc.StatusCode.ABORTED, "default/db-0", "1s"):
        second.attach()
    time.sleep(1.1)
    with refused(
        grpc.StatusCode.FAILED_PRECONDITION, "default/db-0", "db-1", "lease_timeout", "1s"
    ):
        second.attach()

    db.stop()
    second.deploy()  # it failed, but Kubernetes may ask again, and the disk is free


@pytest.mark.loop_only
def test_the_node_refuses_a_second_target_by_itself(app: Apps) -> None:
    db = app("pgdata", attributes=pv(size="1Gi")).deploy()
    second = app("pgdata", pod="db-1")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, "pgdata", str(db.target)):
        second.publish()
    db.publish()  # the same one again is fine
    db.read_only = True
    with refused(grpc.StatusCode.ALREADY_EXISTS, str(db.target)):
        db.publish()


@pytest.mark.loop_only
def test_several_writers_of_one_node_share_a_disk_when_they_ask_for_it(app: Apps) -> None:
    first = app("pgdata", attributes=pv(size="1Gi"), mode=MULTI_WRITER).deploy()
    second = app("pgdata", pod="db-1", attributes=pv(size="1Gi"), mode=MULTI_WRITER).deploy()

    first.write(b"first order")

    assert second.read(100) == b"first order"
    first.unpublish()
    second.write(b"second")


@pytest.mark.loop_only
def test_a_local_disk_is_one_folder_for_all_pods_of_an_app(
    app: Apps, driver: LocalDriver, operator: Operator, host: Host
) -> None:
    local = {"attributes": {"provider": "local"}, "mode": MULTI_WRITER}
    web, worker = (
        app("local/shop/uploads", pod="web-0", **local),
        app("local/shop/uploads", pod="worker-0", **local),
    )

    web.deploy()
    worker.deploy()
    web.write(b"cat")
    assert worker.read(100) == b"cat"
    worker.write(b"dog")
    assert web.read(100) == b"dog"

    web.unpublish()
    assert worker.read(100) == b"dog"
    worker.stop()
    assert host.mounts() == []
    assert operator.disks() == []
    leases = driver.folder / "leases.json"
    assert not leases.exists() or "uploads" not in leases.read_text()
    other = app("local/blog/uploads", pod="blog-0", **local).deploy()
    assert list(other.target.iterdir()) == []
    assert app("local/shop/uploads", pod="web-1", **local).deploy().read(100) == b"dog"


@pytest.mark.loop_only
@pytest.mark.parametrize(
    ("filesystem", "package"),
    [("ext4", "e2fsprogs"), ("xfs", "xfsprogs"), ("btrfs", "btrfs-progs")],
)
def test_a_host_without_mkfs_is_told_which_package_it_lacks(
    drivers: Drivers, tmp_path: Path, filesystem: str, package: str
) -> None:
    driver = drivers()
    as_installed = list(driver.argv)
    _hide(driver, f"mkfs.{filesystem}", tmp_path / "nothing")
    driver.start()
    attributes = pv(size="1Gi", filesystem=filesystem)
    db = Instance(driver, tmp_path, "pgdata", filesystem=filesystem, attributes=attributes)
    db.attach()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, f"mkfs.{filesystem}", package):
        db.stage()

    driver.stop()
    driver.argv[:] = as_installed
    driver.start()
    db.stage()


def test_a_pool_promises_no_more_than_the_operator_lets_it(
    drivers: Drivers, tmp_path: Path
) -> None:
    driver = drivers("--overcommit", "0.1").start()
    operator = Operator(driver)
    room = driver.controller.GetCapacity(csi_pb2.GetCapacityRequest()).available_capacity
    operator.create("half", size=room // 2)
    db = Instance(driver, tmp_path, "half").deploy()
    db.write(b"first order")
    left = driver.controller.GetCapacity(csi_pb2.GetCapacityRequest()).available_capacity
    assert 0 < left <= room - room // 2

    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-much", "overcommit", "0.1"):
        operator.create("too-much", size=2 * left)
    with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "half"):
        operator.expand("half", room // 2 + 2 * left)

    assert operator.disks() == ["half"]
    assert db.read(100) == b"first order"
    operator.create("fits", size=left // 2)


def _filesystem(instance: Instance) -> str:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    (line,) = (line for line in lines if line.split()[4] == str(instance.target))
    return line.partition(" - ")[2].split()[0]


def _lease(driver: LocalDriver, disk: str) -> dict[str, Any]:
    document = json.loads((driver.folder / "leases.json").read_text())
    lease: dict[str, Any] = document["leases"][disk]
    return lease


def _hide(driver: LocalDriver, program: str, nothing: Path) -> None:
    """Start the driver where that program is not installed, in a mount namespace of its own."""
    nothing.touch(mode=0o644)
    real = shutil.which(program)
    assert real, f"{program} is not installed"
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    driver.argv[:] = ["unshare", "--mount", "sh", "-c", script, str(nothing), real, *driver.argv]
