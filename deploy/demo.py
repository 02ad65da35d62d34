"""`make demo`: the life of two disks on the embedded loop-file pool, told while it happens.

Everything shown is real: the driver runs as it would on a node, the calls are the ones that
Kubernetes makes, and the files lie on the filesystems that the driver made.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

import deploy
from csi import DRIVER_NAME, wish
from csi.disk import GIB
from csi.persistent_volume import Pin
from csi.stubs import csi_pb2
from deploy.local_driver import LocalDriver, mount_capability, pod_context

NODE = "coordinator"
DISK = "pgdata"
APP_TOML = Path(__file__).with_name("demo.app.toml")


class Story:
    """Prints what happens; bold and dim on a terminal only."""

    def __init__(self) -> None:
        self._styled = sys.stdout.isatty()
        self._chapter = 0

    def chapter(self, title: str) -> None:
        """Begin a new chapter."""
        self._chapter += 1
        print(f"\n{self._style('1', f'{self._chapter}. {title}')}", flush=True)

    def say(self, text: str) -> None:
        """Print one thing that happened."""
        print(f"   {text}", flush=True)

    def show(self, text: str) -> None:
        """Print something as it is, such as a file."""
        for line in text.rstrip("\n").split("\n"):
            print(self._style("2", f"   | {line}".rstrip()), flush=True)

    def called(self, call: str, result: str, began: float) -> None:
        """Print a CSI call, what came of it, and how long it took."""
        took = f"{(time.monotonic() - began) * 1e3:.0f} ms"
        print(f"   {call:<27} {result}  {self._style('2', took)}", flush=True)

    def _style(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._styled else text


class Demo:
    """The demo's driver, its mounts and its story."""

    def __init__(self, folder: Path, story: Story) -> None:
        """Args: folder: everything lives in there, and is gone at the end."""
        self.folder = folder
        self.story = story
        self.driver = LocalDriver(folder, f"loop:{folder / 'pool'}", node_id=NODE)
        self.volumes: dict[str, Mapping[str, Any]] = {}

    def call(self, stub: Callable[[Any], Any], request: Any, result: str) -> Any:
        """Make a CSI call and print what came of it."""
        began = time.monotonic()
        answer = stub(request)
        self.story.called(type(request).__name__.removesuffix("Request"), result, began)
        return answer

    def refused(self, stub: Callable[[Any], Any], request: Any) -> None:
        """Make a CSI call that must fail and print the driver's reason."""
        began = time.monotonic()
        try:
            stub(request)
        except grpc.RpcError as error:
            code, reason = error.code().name, error.details()
            name = type(request).__name__.removesuffix("Request")
            self.story.called(name, f"REFUSED {code}: {reason}", began)
            return
        raise RuntimeError("a second instance got a disk that is in use")

    # chapters

    def translate(self) -> None:
        """Show the app and what it becomes."""
        self.story.chapter("An app with two disks: app.toml")
        self.story.show(APP_TOML.read_text())
        manifests = deploy.translate_disks(
            deploy.parse(APP_TOML), deploy.Options(pin=Pin.to_node(NODE))
        )
        self.story.chapter("kubectl miren translate --only disks: a PV and a PVC for each")
        self.story.show(deploy.to_yaml(manifests))
        for manifest in manifests:
            source = manifest["spec"].get("csi")
            if source:
                self.volumes[source["volumeHandle"]] = wish.of_volume(
                    {}, manifest["metadata"]["annotations"]
                )

    def start_driver(self) -> None:
        """Start the driver as a node would."""
        self.story.chapter(f"The driver {DRIVER_NAME} starts, on the embedded loop-file pool")
        self.story.say(f"$ miren-csi {' '.join(self.driver.argv[3:])}")
        began = time.monotonic()
        self.driver.start()
        info = self.driver.identity.GetPluginInfo(csi_pb2.GetPluginInfoRequest())
        capacity = self.driver.controller.GetCapacity(csi_pb2.GetCapacityRequest())
        free = capacity.available_capacity / GIB
        self.story.called("GetPluginInfo", f"{info.name} {info.vendor_version}", began)
        self.story.say(f"the pool can promise {free:.1f} GiB to new disks")

    def first_instance(self) -> None:
        """Deploy: the disk is made, formatted, leased and mounted."""
        self.story.chapter("First deploy: pod default/db-0 gets its disk")
        self._attach(DISK, "db-0", "disk created, leased to default/db-0")
        self._mount(DISK, "db-0", "formatted with xfs and mounted")
        (self._target("db-0") / "orders.csv").write_text("1,espresso\n2,flat white\n")
        self.story.say(f"db-0 writes orders.csv ({self._size_of(self._target('db-0'))})")

    def second_instance(self) -> None:
        """A second instance is refused by the controller and by the node."""
        self.story.chapter("Meanwhile default/db-1 wants the same disk")
        self.refused(self.driver.controller.ControllerPublishVolume, self._publish(DISK, "db-1"))
        request = self._node_publish(DISK, "db-1")
        self.refused(self.driver.node.NodePublishVolume, request)

    def next_instance(self) -> None:
        """The first one stops, the next one finds its data."""
        self.story.chapter("db-0 stops; its lease is released; db-1 finds the data")
        self._unmount(DISK, "db-0")
        self._attach(DISK, "db-1", "leased to default/db-1")
        self._mount(DISK, "db-1", "mounted; nothing formatted")
        self.story.say("db-1 reads orders.csv:")
        self.story.show((self._target("db-1") / "orders.csv").read_text())

    def snapshot_and_clone(self) -> None:
        """A snapshot of the mounted disk, and a clone of it mounted beside it."""
        self.story.chapter("A snapshot while db-1 runs, and a clone mounted beside its origin")
        snapshot = csi_pb2.CreateSnapshotRequest(source_volume_id=DISK, name="before-upgrade")
        self.call(self.driver.controller.CreateSnapshot, snapshot, "snapshot before-upgrade cut")
        with (self._target("db-1") / "orders.csv").open("a") as orders:
            orders.write("3,cortado\n")
        self.story.say("db-1 appends a third order")
        source = csi_pb2.VolumeContentSource.SnapshotSource(snapshot_id="before-upgrade")
        clone = csi_pb2.CreateVolumeRequest(
            name="pgdata-copy",
            volume_capabilities=[mount_capability("xfs")],
            volume_content_source=csi_pb2.VolumeContentSource(snapshot=source),
        )
        self.call(self.driver.controller.CreateVolume, clone, "disk pgdata-copy made from it")
        self._attach("pgdata-copy", "audit-0", "leased to default/audit-0")
        self._mount("pgdata-copy", "audit-0", "mounted with a UUID of its own")
        for pod in ("db-1", "audit-0"):
            lines = (self._target(pod) / "orders.csv").read_text().count("\n")
            self.story.say(f"{pod:<8} sees {lines} orders on UUID {self._uuid(self._target(pod))}")

    def expand(self) -> None:
        """The disk grows while it is mounted."""
        self.story.chapter("The disk grows to 2 GiB while it is mounted")
        target = self._target("db-1")
        before = self._size_of(target)
        room = csi_pb2.CapacityRange(required_bytes=2 * GIB)
        grow = csi_pb2.ControllerExpandVolumeRequest(volume_id=DISK, capacity_range=room)
        self.call(self.driver.controller.ControllerExpandVolume, grow, "device grown")
        fill = csi_pb2.NodeExpandVolumeRequest(
            volume_id=DISK, volume_path=str(target), staging_target_path=str(self._staging(DISK))
        )
        self.call(self.driver.node.NodeExpandVolume, fill, "filesystem grown, still mounted")
        self.story.say(f"before: {before}; after: {self._size_of(target)}")

    def local_disk(self) -> None:
        """A local disk is one folder for all containers of the app."""
        self.story.chapter("The web service's local disk: one folder, all containers of the app")
        volume = "local/shop/uploads"
        for pod in ("web-0", "web-1"):
            self._attach(volume, pod, f"no lease: shared, for {pod}")
            self._mount(volume, pod, f"folder mounted for {pod}")
        (self._target("web-0") / "cat.jpg").write_bytes(b"\xff\xd8" + bytes(4094))
        size = (self._target("web-1") / "cat.jpg").stat().st_size
        self.story.say(f"web-0 writes cat.jpg, web-1 finds it: {size} bytes")

    def delete_app(self) -> None:
        """The app goes, its disks stay."""
        self.story.chapter("The app is deleted; its disks stay")
        self._unmount("local/shop/uploads", "web-0", "web-1")
        self._unmount("pgdata-copy", "audit-0")
        self._unmount(DISK, "db-1")
        listed = self.driver.controller.ListVolumes(csi_pb2.ListVolumesRequest())
        for entry in listed.entries:
            size = entry.volume.capacity_bytes / GIB
            holders = ", ".join(entry.status.published_node_ids) or "free"
            self.story.say(f"{entry.volume.volume_id:<12} {size:.0f} GiB  {holders}")
        images = sorted((self.folder / "pool").rglob("*.img"))
        self.story.say("and in the pool's folder:")
        for image in images:
            real = image.stat().st_blocks * 512 / (1 << 20)
            promised = image.stat().st_size / GIB
            name = image.relative_to(self.folder)
            self.story.say(f"{name}: {promised:.0f} GiB promised, {real:.1f} MiB used")
        upload = self.folder / "local" / "shop" / "uploads" / "cat.jpg"
        self.story.say(f"{upload.relative_to(self.folder)}: {upload.stat().st_size} bytes")

    # calls

    def _publish(self, volume: str, pod: str) -> csi_pb2.ControllerPublishVolumeRequest:
        return csi_pb2.ControllerPublishVolumeRequest(
            volume_id=volume,
            node_id=NODE,
            volume_capability=self._capability(volume),
            volume_context=pod_context("default", pod, self.volumes.get(volume, {})),
        )

    def _capability(self, volume: str) -> csi_pb2.VolumeCapability:
        mode = csi_pb2.VolumeCapability.AccessMode
        if volume.startswith("local/"):
            return mount_capability(mode=mode.SINGLE_NODE_MULTI_WRITER)
        return mount_capability("xfs")

    def _attach(self, volume: str, pod: str, result: str) -> None:
        stub = self.driver.controller.ControllerPublishVolume
        self.call(stub, self._publish(volume, pod), result)

    def _mount(self, volume: str, pod: str, result: str) -> None:
        self._staging(volume).mkdir(parents=True, exist_ok=True)
        self._target(pod).parent.mkdir(parents=True, exist_ok=True)
        stage = csi_pb2.NodeStageVolumeRequest(
            volume_id=volume,
            staging_target_path=str(self._staging(volume)),
            volume_capability=self._capability(volume),
            volume_context=self.volumes.get(volume, {}),
        )
        self.call(self.driver.node.NodeStageVolume, stage, result)
        stub = self.driver.node.NodePublishVolume
        self.call(stub, self._node_publish(volume, pod), f"at {pod}'s mount path")

    def _node_publish(self, volume: str, pod: str) -> csi_pb2.NodePublishVolumeRequest:
        return csi_pb2.NodePublishVolumeRequest(
            volume_id=volume,
            staging_target_path=str(self._staging(volume)),
            target_path=str(self._target(pod)),
            volume_capability=self._capability(volume),
            volume_context=self.volumes.get(volume, {}),
        )

    def _unmount(self, volume: str, *pods: str) -> None:
        for pod in pods:
            leave = csi_pb2.NodeUnpublishVolumeRequest(
                volume_id=volume, target_path=str(self._target(pod))
            )
            self.call(self.driver.node.NodeUnpublishVolume, leave, f"{pod} let go of {volume}")
        unstage = csi_pb2.NodeUnstageVolumeRequest(
            volume_id=volume, staging_target_path=str(self._staging(volume))
        )
        self.call(self.driver.node.NodeUnstageVolume, unstage, f"{volume} unmounted")
        detach = csi_pb2.ControllerUnpublishVolumeRequest(volume_id=volume, node_id=NODE)
        self.call(self.driver.controller.ControllerUnpublishVolume, detach, "lease released")

    def _staging(self, volume: str) -> Path:
        return self.folder / "staging" / volume.replace("/", "-")

    def _target(self, pod: str) -> Path:
        return self.folder / "pods" / pod / "mount"

    def _size_of(self, path: Path) -> str:
        facts = os.statvfs(path)
        total, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
        return f"{total / GIB:.2f} GiB, {free / GIB:.2f} GiB free"

    def _uuid(self, path: Path) -> str:
        found = subprocess.run(
            ["findmnt", "--noheadings", "--output", "UUID", "--target", path],
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout.strip()

    def clean_up(self) -> None:
        """Stop the driver and remove every mount, loop device and file of the demo."""
        self.driver.stop()
        for target in reversed(_mounts_below(self.folder)):
            subprocess.run(["umount", target], check=False)
        for device in _loop_devices_below(self.folder):
            subprocess.run(["losetup", "--detach", device], check=False)
        shutil.rmtree(self.folder)


def _mounts_below(folder: Path) -> list[str]:
    targets = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [target for target in targets if Path(target).is_relative_to(folder)]


def _loop_devices_below(folder: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [
        f"/dev/{file.parent.parent.name}"
        for file in files
        if Path(file.read_text().strip()).is_relative_to(folder)
    ]


@contextmanager
def _demo(story: Story) -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="miren-demo-", dir="/var/tmp"))
    demo = Demo(folder, story)
    try:
        yield demo
    finally:
        # A second Ctrl-C must not leave mounts behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        demo.clean_up()
        story.say(f"\n   cleaned up: {folder} with its mounts and loop devices is gone")


def main() -> int:
    """Run the demo; returns 0, or 1 when something in it did not go as told."""
    if os.geteuid() != 0:
        sys.stderr.write("the demo mounts filesystems, so it must run as root\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    story = Story()
    try:
        with _demo(story) as demo:
            demo.translate()
            demo.start_driver()
            demo.first_instance()
            demo.second_instance()
            demo.next_instance()
            demo.snapshot_and_clone()
            demo.expand()
            demo.local_disk()
            demo.delete_app()
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130
    except (grpc.RpcError, RuntimeError, OSError) as error:
        sys.stderr.write(f"\nthe demo failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
