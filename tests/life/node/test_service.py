"""The Node service as an orchestrator calls it: usage, health, growth and who it is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.loop_pool import LoopPool
from csi.disk import Content
from csi.errors import InvalidRequest, NotFound, OutOfRange, Refused
from csi.stubs import csi_pb2
from deploy.local_driver import block_capability, mount_capability
from node import block_device, device_programs
from node.local_disks import LocalDisks
from node.scratch import ScratchVolumes
from node.service import NodeService
from tests.life.host import Host
from tests.life.node.loop_disks import ROOMY, SIZE, LoopDisks

pytestmark = pytest.mark.loop_only

BYTES = csi_pb2.VolumeUsage.BYTES
INODES = csi_pb2.VolumeUsage.INODES
UPLOADS = "local/shop/uploads"

each_filesystem = pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])


class Node:
    """The service, called with few words."""

    def __init__(self, service: NodeService, stage: Path, target: Path) -> None:
        self.service = service
        self.staging = str(stage)
        self.target = str(target)

    def deploy(self, volume: str, capability: csi_pb2.VolumeCapability | None = None) -> Path:
        """Stage and publish; returns the target."""
        capability = capability or mount_capability()
        self.service.NodeStageVolume(
            csi_pb2.NodeStageVolumeRequest(
                volume_id=volume,
                staging_target_path=self.staging,
                volume_capability=capability,
            ),
            None,
        )
        self.service.NodePublishVolume(
            csi_pb2.NodePublishVolumeRequest(
                volume_id=volume,
                staging_target_path=self.staging,
                target_path=self.target,
                volume_capability=capability,
            ),
            None,
        )
        return Path(self.target)

    def stop(self, volume: str) -> None:
        self.service.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(volume_id=volume, target_path=self.target), None
        )
        self.service.NodeUnstageVolume(
            csi_pb2.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=self.staging),
            None,
        )

    def stats(self, volume: str, path: str = "") -> dict[int, csi_pb2.VolumeUsage]:
        request = csi_pb2.NodeGetVolumeStatsRequest(
            volume_id=volume, volume_path=path or self.target
        )
        return {one.unit: one for one in self.service.NodeGetVolumeStats(request, None).usage}

    def expand(self, volume: str, path: str = "", **room: int) -> int:
        request = csi_pb2.NodeExpandVolumeRequest(
            volume_id=volume,
            volume_path=path or self.target,
            capacity_range=csi_pb2.CapacityRange(**room),
        )
        return self.service.NodeExpandVolume(request, None).capacity_bytes

    def health(self, volume: str) -> list[tuple[str, str]]:
        request = csi_pb2.NodeGetVolumeHealthRequest(volume_id=volume)
        found = self.service.NodeGetVolumeHealth(request, None).volume_health
        assert found.volume_id == volume
        kind = csi_pb2.VolumeHealthErrorType
        return [(kind.Name(one.status), one.reason) for one in found.health_statuses]

    def storage_health(self) -> list[tuple[str, str]]:
        request = csi_pb2.NodeGetStorageHealthRequest()
        found = self.service.NodeGetStorageHealth(request, None).backend_health
        kind = csi_pb2.StorageHealthErrorType
        return [(kind.Name(one.status), one.reason) for one in found]


@pytest.fixture
def node(disks: LoopDisks, tmp_path: Path, stage: Path, target: Path) -> Node:
    local = LocalDisks(tmp_path / "local")
    pool = LoopPool(tmp_path / "pool", 2.0)
    volumes = ScratchVolumes(pool, tmp_path / "scratch", "miren-system")
    return Node(NodeService("coordinator", disks, local, volumes, 16), stage, target)


@each_filesystem
def test_stats_say_how_full_a_filesystem_is(node: Node, disks: LoopDisks, filesystem: str) -> None:
    disks.create("pgdata", filesystem)
    target = node.deploy("pgdata")
    before = node.stats("pgdata")

    (target / "order").write_bytes(os.urandom(32 << 20))
    subprocess.run(["sync", "--file-system", target], check=True)

    after = node.stats("pgdata", node.staging)
    assert after[BYTES].used - before[BYTES].used >= 32 << 20
    assert before[BYTES].available - after[BYTES].available >= 32 << 20
    assert 0.7 * SIZE < after[BYTES].total <= SIZE
    if filesystem == "btrfs":
        assert INODES not in after
    else:
        assert after[INODES].used - before[INODES].used == 1
        assert after[INODES].total == after[INODES].used + after[INODES].available


def test_stats_of_a_raw_device_say_its_size(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata")
    node.deploy("pgdata", block_capability())

    assert node.stats("pgdata")[BYTES].total == SIZE
    assert node.stats("pgdata", node.staging)[BYTES].total == SIZE


def test_stats_of_a_local_disk(node: Node) -> None:
    node.deploy(UPLOADS)

    assert node.stats(UPLOADS)[BYTES].total > 0
    assert node.stats(UPLOADS)[INODES].total > 0


@pytest.mark.parametrize("path", ["some/path", "/nowhere", "/proc"])
def test_stats_of_a_path_that_is_not_the_volumes(node: Node, disks: LoopDisks, path: str) -> None:
    disks.create("pgdata")
    node.deploy("pgdata")
    with pytest.raises(NotFound, match=f'"pgdata" is neither staged nor published at {path}'):
        node.stats("pgdata", path)
    node.stop("pgdata")
    with pytest.raises(NotFound, match='"pgdata" is neither staged nor published'):
        node.stats("pgdata")
    with pytest.raises(NotFound, match='disk "orders" does not exist'):
        node.stats("orders", path)
    node.service.NodeStageVolume(
        csi_pb2.NodeStageVolumeRequest(
            volume_id=UPLOADS,
            staging_target_path=node.staging,
            volume_capability=mount_capability(),
        ),
        None,
    )
    with pytest.raises(NotFound, match=f'"{UPLOADS}" is not published at {path}'):
        node.stats(UPLOADS, path)


@pytest.mark.parametrize("filesystem", ["xfs", "btrfs"])
def test_it_grows_while_it_is_used(node: Node, disks: LoopDisks, filesystem: str) -> None:
    disks.create("pgdata", filesystem)
    target = node.deploy("pgdata")
    before = node.stats("pgdata")[BYTES].total
    disks.expand("pgdata", 2 * SIZE)

    with (target / "order").open("w") as file:
        assert node.expand("pgdata", required_bytes=2 * SIZE) == 2 * SIZE
        file.write("first")

    assert node.stats("pgdata")[BYTES].total > before + 0.9 * SIZE
    assert node.expand("pgdata", node.staging, required_bytes=SIZE) == 2 * SIZE


def test_ext4_grows_while_it_is_used_where_the_host_lets_it(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata", "ext4")
    node.deploy("pgdata")
    before = node.stats("pgdata")[BYTES].total
    disks.expand("pgdata", 2 * SIZE)

    if _lacks_sys_resource():
        with pytest.raises(Refused, match="lacks the capability CAP_SYS_RESOURCE"):
            node.expand("pgdata", required_bytes=2 * SIZE)
        node.stop("pgdata")
        node.deploy("pgdata")
    else:
        assert node.expand("pgdata", required_bytes=2 * SIZE) == 2 * SIZE

    assert node.stats("pgdata")[BYTES].total > before + 0.9 * SIZE


def test_a_raw_device_grows_while_it_is_used(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata")
    target = node.deploy("pgdata", block_capability())
    disks.expand("pgdata", 2 * SIZE)

    assert node.expand("pgdata", required_bytes=2 * SIZE) == 2 * SIZE

    assert block_device.size(target) == 2 * SIZE


def test_growth_that_cannot_be(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata")
    with pytest.raises(NotFound, match='"pgdata" is neither staged nor published at'):
        node.expand("pgdata")
    node.deploy("pgdata")

    with pytest.raises(OutOfRange, match="ControllerExpandVolume comes first"):
        node.expand("pgdata", required_bytes=2 * SIZE)
    with pytest.raises(OutOfRange, match="more than limit_bytes"):
        node.expand("pgdata", limit_bytes=SIZE // 2)
    with pytest.raises(InvalidRequest, match="is below required_bytes"):
        node.expand("pgdata", required_bytes=SIZE, limit_bytes=SIZE // 2)
    with pytest.raises(NotFound, match='disk "orders" does not exist'):
        node.expand("orders", "some/path")
    with pytest.raises(InvalidRequest, match="no size of its own"):
        node.expand(UPLOADS)


@each_filesystem
def test_a_disk_that_is_well(node: Node, disks: LoopDisks, filesystem: str) -> None:
    disks.create("pgdata", filesystem)
    assert node.health("pgdata") == []
    node.deploy("pgdata")
    assert node.health("pgdata") == []
    node.stop("pgdata")
    disks.attach("pgdata")
    assert node.health("pgdata") == []


def test_a_disk_that_is_read_only_on_purpose_is_well(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata")
    reader = csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_READER_ONLY
    node.deploy("pgdata", mount_capability(mode=reader))

    assert node.health("pgdata") == []


def test_a_filesystem_with_errors_is_reported(node: Node, disks: LoopDisks, host: Host) -> None:
    disks.create("pgdata")
    node.deploy("pgdata")
    (device,) = host.loop_devices()

    Path("/sys/fs/ext4", device.name, "trigger_fs_error").write_text("a test")

    assert node.health("pgdata") == [
        ("DEGRADED", "FilesystemReadOnly"),
        ("DEGRADED", "FilesystemErrors"),
    ]


def test_a_filesystem_that_shut_down_is_reported(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata", "xfs")
    target = node.deploy("pgdata")

    subprocess.run(["xfs_io", "-x", "-c", "shutdown", target], check=True)

    assert node.health("pgdata") == [("INACCESSIBLE", "FilesystemShutDown")]
    node.stop("pgdata")
    node.deploy("pgdata")
    assert node.health("pgdata") == []


def test_a_lost_filesystem_is_reported(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata", content=Content.FORMATTED)
    disks.attach("pgdata")

    assert node.health("pgdata") == [("DATA_LOSS", "FilesystemMissing")]


def test_a_device_that_does_not_answer_is_reported(node: Node, disks: LoopDisks) -> None:
    disks.create("pgdata")
    node.deploy("pgdata")
    # Reads behind the end of its file fail, as those of a broken device do.
    with disks.file("pgdata").open("r+b") as file:
        file.truncate(0)

    assert node.health("pgdata") == [("INACCESSIBLE", "DeviceFailed")]

    with disks.file("pgdata").open("r+b") as file:
        file.truncate(SIZE)


def test_health_of_what_does_not_exist(node: Node) -> None:
    with pytest.raises(NotFound, match='disk "pgdata" does not exist'):
        node.health("pgdata")
    with pytest.raises(NotFound, match=f'"{UPLOADS}" does not exist'):
        node.health(UPLOADS)


def test_health_of_the_pool(node: Node, disks: LoopDisks) -> None:
    assert node.storage_health() == []

    disks.room = replace(ROOMY, used=ROOMY.size * 95 // 100, metadata_used=0.95)
    assert node.storage_health() == [
        ("STORAGE_DEGRADED", "PoolNearlyFull"),
        ("STORAGE_DEGRADED", "PoolMetadataNearlyFull"),
    ]

    disks.broken = "LVM does not answer"
    assert node.storage_health() == [("STORAGE_UNREACHABLE", "PoolUnreachable")]


def test_what_a_killed_driver_started_is_ended_before_the_next_touches_the_device(
    node: Node, disks: LoopDisks, killed_driver: "KilledDriver"
) -> None:
    disks.create("pgdata")
    orphan = killed_driver.leaves_behind("sleep", "1000", on=disks.attach("pgdata"))

    (node.deploy("pgdata") / "order").write_text("first")

    assert not _runs(orphan)


def test_a_lock_of_somebody_else_is_waited_for(disks: LoopDisks, tmp_path: Path) -> None:
    disks.create("pgdata")
    device = disks.attach("pgdata")
    log = tmp_path / "log"
    locked = f"echo locked; read -r _; echo udev has looked >>{log}"
    udev = subprocess.Popen(
        ["flock", "--exclusive", device, "sh", "-c", locked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert udev.stdout is not None
    udev.stdout.readline()

    mkfs = ("sh", "-c", f"echo mkfs ran >>{log}")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(device_programs.run, device, mkfs)
        while not running.done() and "->" not in _locks(device):
            pass
        udev.communicate(b"\n")
        running.result()

    assert log.read_text().splitlines() == ["udev has looked", "mkfs ran"]


def _locks(file: Path) -> str:
    """The lines of /proc/locks about a file; "->" marks who waits for one (proc_locks(5))."""
    number = f":{file.stat().st_ino} "
    return "".join(line for line in Path("/proc/locks").open() if number in line)


class KilledDriver:
    """A process that starts a program on a device and is killed."""

    def __init__(self) -> None:
        self.orphans: list[int] = []

    def leaves_behind(self, *argv: str, on: Path) -> int:
        """Return the process id of what goes on running."""
        code = (
            "import sys; from pathlib import Path; from node import device_programs;"
            "print(flush=True); device_programs.run(Path(sys.argv[1]), sys.argv[2:])"
        )
        driver = subprocess.Popen(
            [sys.executable, "-c", code, str(on), *argv], stdout=subprocess.PIPE
        )
        children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
        while not (found := children.read_text().split()):
            assert driver.poll() is None
        (orphan,) = map(int, found)
        while b"MIREN_CSI_WRITES_TO=" not in Path(f"/proc/{orphan}/environ").read_bytes():
            assert driver.poll() is None
        self.orphans.append(orphan)
        driver.kill()
        driver.communicate()
        assert _runs(orphan)
        return orphan


@pytest.fixture
def killed_driver() -> Iterator[KilledDriver]:
    driver = KilledDriver()
    yield driver
    for orphan in driver.orphans:
        if _runs(orphan):
            os.kill(orphan, signal.SIGKILL)


def test_who_this_node_is(node: Node) -> None:
    info = node.service.NodeGetInfo(csi_pb2.NodeGetInfoRequest(), None)

    assert info.node_id == "coordinator"
    assert info.max_volumes_per_node == 16
    assert dict(info.accessible_topology.segments) == {
        "topology.disk.csi.miren.dev/node": "coordinator"
    }


def test_paths_and_fields_that_are_wrong(node: Node, disks: LoopDisks, target: Path) -> None:
    disks.create("pgdata")

    def refused(kind: type[Exception], why: str, **changed: Any) -> None:
        fields = {
            "volume_id": "pgdata",
            "staging_target_path": node.staging,
            "target_path": str(target),
            "volume_capability": mount_capability(),
            **changed,
        }
        request = csi_pb2.NodePublishVolumeRequest(**fields)
        with pytest.raises(kind, match=why):
            node.service.NodePublishVolume(request, None)

    refused(InvalidRequest, "target_path must be an absolute path, not 'x/y'", target_path="x/y")
    refused(InvalidRequest, r'target_path must not contain "\.\."', target_path="/tmp/../etc")
    refused(InvalidRequest, "target_path must not be the root folder", target_path="/")
    refused(Refused, "staging_target_path is missing", staging_target_path="")
    refused(InvalidRequest, "staging_target_path must be an abs", staging_target_path="stage")
    refused(InvalidRequest, "access_mode is missing", volume_capability=None)
    flag = mount_capability(flags=["suid"])
    refused(InvalidRequest, 'mount flag "suid" is not allowed', volume_capability=flag)
    refused(
        InvalidRequest,
        "a local disk is a directory",
        volume_id=UPLOADS,
        volume_capability=block_capability(),
    )


def _runs(pid: int) -> bool:
    """Whether a process runs; it may be dead and nobody has taken note yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _lacks_sys_resource() -> bool:
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "CapEff" in x)
    return not int(line.split()[1], 16) >> 24 & 1
