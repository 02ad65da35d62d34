"""Inline volumes: copies and empty volumes that come with a pod and go with it."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi.disk import MIB
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver
from tests.cluster.waiting import wait_until
from tests.contract import raw
from tests.contract.writer import count, writing
from tests.life.app import SIZE, Operator, refused
from tests.life.conftest import Apps, Drivers
from tests.life.host import Host
from tests.life.inline import Pod

Pods = Callable[..., Pod]
BYTES = csi_pb2.VolumeUsage.BYTES

each_filesystem = pytest.mark.parametrize(
    "filesystem",
    ["ext4", *(pytest.param(name, marks=pytest.mark.loop_only) for name in ("xfs", "btrfs"))],
)


@pytest.fixture
def kubelet(tmp_path: Path) -> Path:
    """Kubelet's --root-dir."""
    folder = tmp_path / "k"  # a socket's path is short
    for place in ("pods", "plugins_registry"):
        (folder / place).mkdir(parents=True)
    return folder


@pytest.fixture
def pod(driver: LocalDriver, kubelet: Path) -> Pods:
    """Makes pods with an inline volume: `pod(copyOf="pgdata", read_only=True)`."""

    def make(*, read_only: bool = False, **attributes: str) -> Pod:
        return Pod(driver, kubelet, attributes, read_only)

    return make


def assert_gone(pod: Pod, operator: Operator, host: Host) -> None:
    """Nothing is left of a pod's volume; disks that are in use may have mounts of their own."""
    with refused(grpc.StatusCode.NOT_FOUND, pod.volume):
        operator.get(pod.volume)
    assert not pod.target.exists()
    assert [one for one in host.mounts() if pod.volume in str(one) or pod.uid in str(one)] == []


# copies


@each_filesystem
def test_a_copy_of_a_disk_that_is_written_to_is_consistent_and_read_only(
    app: Apps, operator: Operator, host: Host, pod: Pods, filesystem: str
) -> None:
    operator.create("pgdata", filesystem=filesystem)
    db = app("pgdata", filesystem=filesystem).deploy()
    with writing(db.target / "journal") as writer:
        before = writer.acknowledged
        mover = pod(copyOf="pgdata", read_only=True).start()
        after = writer.acknowledged
        writer.wait_for_more(10)

        assert before <= count(mover.target / "journal") <= after + 1
        with pytest.raises(OSError, match="Read-only") as denied:
            (mover.target / "file").touch()
        assert denied.value.errno == errno.EROFS
        assert 0.5 * SIZE < mover.stats()[BYTES].total <= SIZE
        mover.end()

    assert_gone(mover, operator, host)
    db.stop()
    assert host.loop_devices() == []


def test_a_copy_of_a_snapshot(app: Apps, operator: Operator, host: Host, pod: Pods) -> None:
    operator.create("pgdata")
    db = app("pgdata").deploy()
    db.write(b"first order")
    operator.snapshot("pgdata", "monday")
    db.write(b"later order")

    mover = pod(snapshot="monday", read_only=True).start()

    assert (mover.target / "data").read_bytes() == b"first order"
    mover.end()
    assert_gone(mover, operator, host)
    assert db.read(100) == b"later order"


def test_the_device_of_a_copy_is_a_file_in_a_folder(
    app: Apps, operator: Operator, host: Host, pod: Pods
) -> None:
    operator.create("pgdata", filesystem="")
    db = app("pgdata", filesystem="").deploy()
    db.write(b"first order", MIB)

    mover = pod(copyOf="pgdata", mode="block", read_only=True).start()

    assert [one.name for one in mover.target.iterdir()] == ["device"]
    assert mover.target.is_mount()  # what kubelet looks for
    with mover.device.open("rb") as device:
        assert device.seek(0, os.SEEK_END) == SIZE
        device.seek(MIB)
        assert device.read(11) == b"first order"
    with pytest.raises(OSError, match=r"Operation not permitted|Read-only file system"):
        raw.write(mover.device, MIB, b"mine")
    assert mover.stats()[BYTES].total == SIZE
    mover.end()
    assert_gone(mover, operator, host)
    assert db.read(11, MIB) == b"first order"


@pytest.mark.loop_only
def test_a_disk_that_was_never_used_is_an_empty_copy(
    operator: Operator, host: Host, pod: Pods
) -> None:
    operator.create("pgdata")

    mover = pod(copyOf="pgdata", read_only=True).start()

    assert [one.name for one in mover.target.iterdir() if one.name != "lost+found"] == []
    mover.end()
    assert_gone(mover, operator, host)


@pytest.mark.loop_only
def test_what_is_on_the_disk_decides_how_it_can_be_copied(
    app: Apps, operator: Operator, host: Host, pod: Pods
) -> None:
    operator.create("pgdata", filesystem="")
    db = app("pgdata", filesystem="").deploy()
    db.write(b"no filesystem")
    mover = pod(copyOf="pgdata")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, 'the copy of disk "pgdata"', "raw"):
        mover.start()

    assert_gone(mover, operator, host)


# who


def test_a_pod_of_another_namespace_gets_none(
    driver: LocalDriver, kubelet: Path, operator: Operator, host: Host
) -> None:
    operator.create("pgdata")
    thief = Pod(driver, kubelet, {"copyOf": "pgdata"}, namespace="default")

    with refused(grpc.StatusCode.FAILED_PRECONDITION, '"default"', '"miren-system"'):
        thief.start()

    assert_gone(thief, operator, host)


@pytest.mark.loop_only
def test_the_namespace_is_an_option(drivers: Drivers, kubelet: Path) -> None:
    driver = drivers("--namespace", "storage").start()

    Pod(driver, kubelet, {"size": str(SIZE)}, namespace="storage").start().end()

    with refused(grpc.StatusCode.FAILED_PRECONDITION, '"miren-system"', '"storage"'):
        Pod(driver, kubelet, {"size": str(SIZE)}).start()


@pytest.mark.loop_only
def test_a_scratch_volume_is_no_disk(operator: Operator, pod: Pods) -> None:
    operator.create("pgdata")
    mover = pod(copyOf="pgdata", read_only=True).start()

    assert operator.disks() == ["pgdata"]
    assert operator.get(mover.volume).capacity_bytes == SIZE
    with refused(grpc.StatusCode.ALREADY_EXISTS, "scratch volume"):
        operator.create(mover.volume)


@pytest.mark.loop_only
def test_a_disk_that_a_user_called_like_a_scratch_volume_is_left_alone(
    app: Apps, operator: Operator, pod: Pods, host: Host
) -> None:
    mover = pod(size=str(SIZE))
    operator.create(mover.volume)
    db = app(mover.volume).deploy()
    db.write(b"first order")

    with refused(grpc.StatusCode.ALREADY_EXISTS, mover.volume, "no scratch volume"):
        mover.start()

    db.stop()
    assert operator.disks() == [mover.volume]
    assert db.deploy().read(100) == b"first order"
    db.stop()
    assert host.mounts() == []


# what is asked for


@pytest.mark.loop_only
@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, ["copyOf, snapshot and size", "none"]),
        ({"copyOf": "a", "snapshot": "b"}, ["copyOf and snapshot"]),
        ({"copyOf": ""}, ["copyOf is empty"]),
        ({"copyOf": "local/shop/uploads"}, ["copyOf", "local disk"]),
        ({"copyOf": "a", "filesystem": "xfs"}, ["filesystem does not go with copyOf"]),
        ({"size": "1Gi"}, ["size", "bytes", '"1Gi"']),
        ({"size": "0"}, ["size", '"0"']),
        ({"size": "9" * 19}, ["size"]),
        ({"size": "1", "filesystem": "ntfs"}, ["filesystem", "ext4", '"ntfs"']),
        ({"size": "1", "mode": "raw"}, ["mode", "filesystem, block", '"raw"']),
        ({"size": "1", "colour": "red"}, ['"colour"', "copyOf"]),
    ],
)
def test_a_mistake_in_the_attributes_is_told(
    driver: LocalDriver, kubelet: Path, attributes: dict[str, str], words: list[str]
) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, *words):
        Pod(driver, kubelet, attributes).start()


@pytest.mark.loop_only
def test_what_cannot_be_made_leaves_nothing(
    operator: Operator, host: Host, pod: Pods, kubelet: Path, driver: LocalDriver
) -> None:
    too_small = pod(size=str(2 * MIB))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "the empty scratch volume", "ext4"):
        too_small.start()
    with refused(grpc.StatusCode.NOT_FOUND, 'disk "nowhere"', "of this node"):
        pod(copyOf="nowhere").start()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "readOnly", "size"):
        pod(size=str(SIZE), read_only=True).start()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "pod.uid"):
        Pod(driver, kubelet, {"size": str(SIZE)}, uid="no uid").start()

    assert_gone(too_small, operator, host)
    assert host.mounts() == []
    assert host.loop_devices() == []


# restoring


@pytest.mark.parametrize("filesystem", ["ext4", pytest.param("xfs", marks=pytest.mark.loop_only)])
def test_what_is_restored_into_an_empty_volume_becomes_a_disk(
    app: Apps, operator: Operator, host: Host, pod: Pods, filesystem: str
) -> None:
    mover = pod(size=str(SIZE), filesystem=filesystem).start()
    (mover.target / "data").write_bytes(b"first order")

    operator.clone("pgdata", mover.volume, filesystem=filesystem)
    mover.end()

    assert_gone(mover, operator, host)
    assert operator.disks() == ["pgdata"]
    db = app("pgdata", filesystem=filesystem).deploy()
    assert db.read(100) == b"first order"
    db.stop()
    assert host.mounts() == []
    assert host.loop_devices() == []


@pytest.mark.loop_only
def test_a_device_that_is_restored_becomes_a_disk(
    app: Apps, operator: Operator, host: Host, pod: Pods
) -> None:
    mover = pod(size=str(SIZE), mode="block").start()
    with mover.device.open("r+b") as file:
        file.write(b"first order")
        file.flush()
        os.fsync(file.fileno())

    operator.clone("pgdata", mover.volume, filesystem="")
    mover.end()

    assert_gone(mover, operator, host)
    assert app("pgdata", filesystem="").deploy().read(11) == b"first order"


# again, and too late


@pytest.mark.parametrize("mode", ["filesystem", "block"])
def test_both_calls_can_be_repeated(
    app: Apps, operator: Operator, host: Host, pod: Pods, mode: str
) -> None:
    operator.create("pgdata", filesystem="ext4")
    db = app("pgdata").deploy()
    db.write(b"first order")
    mover = pod(copyOf="pgdata", mode=mode, read_only=True).start()
    mounts = host.mounts()
    db.write(b"later order")

    mover.start()

    assert host.mounts() == mounts
    if mode == "filesystem":
        assert (mover.target / "data").read_bytes() == b"first order"
    mover.end()
    mover.end()
    assert_gone(mover, operator, host)


@pytest.mark.loop_only
def test_a_volume_that_never_was_is_unpublished(pod: Pods, driver: LocalDriver) -> None:
    pod(size=str(SIZE)).end()

    with refused(grpc.StatusCode.NOT_FOUND, "csi-nothing"):
        driver.node.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(volume_id="csi-nothing", target_path="/tmp/nothing")
        )


@pytest.mark.loop_only
def test_after_a_reboot_a_volume_is_unpublished(
    driver: LocalDriver, operator: Operator, host: Host, pod: Pods
) -> None:
    operator.create("pgdata")
    for mode in ("filesystem", "block"):
        mover = pod(copyOf="pgdata", mode=mode).start()
        driver.kill()
        host.clear()
        driver.start()

        mover.end()

        assert_gone(mover, operator, host)


# pods that are gone


@pytest.mark.parametrize("mode", ["filesystem", "block"])
def test_orphans(drivers: Drivers, kubelet: Path, host: Host, mode: str) -> None:
    driver = drivers("--kubelet-dir", str(kubelet)).start()
    operator = Operator(driver)
    operator.create("pgdata")
    gone = Pod(driver, kubelet, {"copyOf": "pgdata", "mode": mode}).start()
    stays = Pod(driver, kubelet, {"copyOf": "pgdata", "mode": mode}).start()
    driver.kill()
    # Left is what the driver has mounted for itself, and what somebody else has.
    elsewhere = kubelet / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["mount", "--rbind", gone.target, elsewhere], check=True)
    subprocess.run(["umount", "--recursive", gone.target], check=True)
    shutil.rmtree(gone.folder)

    driver.start()

    wait_until(lambda: not exists(operator, gone.volume), "it is deleted", within=30)
    assert exists(operator, stays.volume)
    assert operator.disks() == ["pgdata"]
    assert_gone(gone, operator, host)


def exists(operator: Operator, volume: str) -> bool:
    try:
        operator.get(volume)
    except grpc.RpcError as error:
        found: Any = error
        assert found.code() is grpc.StatusCode.NOT_FOUND
        return False
    return True


@pytest.mark.loop_only
def test_no_orphans(drivers: Drivers, kubelet: Path) -> None:
    driver = drivers("--kubelet-dir", str(kubelet)).start()
    operator = Operator(driver)
    mover = Pod(driver, kubelet, {"size": str(SIZE)}).start()
    driver.stop()
    (kubelet / "pods").rename(kubelet / "elsewhere")

    driver.start()
    driver.stop()

    log = driver.log.read_text()
    assert "is gone" not in log
    driver.start()
    assert exists(operator, mover.volume)
