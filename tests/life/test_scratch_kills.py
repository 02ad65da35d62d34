"""A driver that is killed between any two steps of making or removing a scratch volume.

What comes next is the same call again, or the call that undoes it, or nothing but the pod's end.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc
import pytest

from controller.loop_pool import LoopPool
from controller.lvm_pool import LvmPool
from controller.pool import HostPool
from csi import scratch
from csi.capability import Capability
from csi.capability import Mode as Access
from csi.disk import DEFAULT_FILESYSTEM, MIB, Content, Disk
from csi.opening import open_pool
from csi.scratch import EPHEMERAL, POD_NAMESPACE, POD_UID, Scratch
from csi.serial import Turnstile
from deploy.local_driver import LocalDriver
from node import device_programs, mounts, paths
from node.scratch import ScratchVolumes
from node.scratch_care import ScratchCare
from tests.life import test_kills
from tests.life.app import Operator, refused
from tests.life.conftest import Apps
from tests.life.host import Host
from tests.life.inline import Pod
from tests.life.test_kills import kill_during, seconds, until_it_succeeds

KILLED = 9
STEPS: frozenset[CodeType] = frozenset(
    function.__code__
    for function in (
        *(mounts.mount, mounts.bind, mounts.unmount, paths.remove, paths._made),
        device_programs.run,
        *(
            verb
            for pool in (LoopPool, LvmPool)
            for verb in (pool.create, pool.attach, pool.mark, pool.detach, pool.delete)
        ),
    )
)
"""What changes anything: the driver is killed before and after each."""

Then = Callable[["Life"], None]


@dataclass(slots=True)
class Life:
    """One scratch volume and the pool that it is in, opened anew after each kill."""

    spec: str
    folder: Path
    attributes: Mapping[str, str]
    pool: HostPool

    name = f"csi-{hashlib.sha256(b'pod disk').hexdigest()}"

    @property
    def context(self) -> dict[str, str]:
        pod = {POD_NAMESPACE: "miren-system", POD_UID: "pod-uid", EPHEMERAL: "true"}
        return {**self.attributes, **pod}

    @property
    def wanted(self) -> Scratch:
        return scratch.parse(self.context)

    @property
    def target(self) -> Path:
        return self.folder / "pods" / self.wanted.pod / "volume" / "mount"

    def volumes(self, pool: HostPool) -> ScratchVolumes:
        return ScratchVolumes(pool, self.folder / "scratch", "miren-system")

    def publish(self, pool: HostPool) -> None:
        use = Capability(Access.SINGLE_NODE_WRITER)
        read_only = self.wanted.source is not None
        volumes = self.volumes(pool)
        volumes.publish(self.name, self.target, self.context, use, read_only=read_only)

    def unpublish(self, pool: HostPool) -> None:
        volumes = self.volumes(pool)
        assert volumes.has(self.name)
        volumes.unpublish(self.name, self.target)

    def appear(self) -> None:
        """kubelet makes the pod's folder."""
        self.target.parent.mkdir(parents=True, exist_ok=True)

    def is_shown(self) -> bool:
        if self.wanted.source is None:
            return (self.target / "lost+found").is_dir()
        if self.wanted.is_block:
            device = self.target / "device"
            return device.is_block_device() and device.read_bytes()[MIB:][:5] == b"first"
        return (self.target / "file").read_bytes() == b"first"

    def killed(self, call: Callable[[HostPool], None], step: int) -> bool:
        """Make a call in a process that is killed at a step; false if it ended before."""
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                pool = open_pool(self.spec, 10.0)
                sys.setprofile(_Killer(step))
                call(pool)
                status = 0
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(ended)
        assert code in (0, KILLED)
        self.pool.recover()
        return code == KILLED


class _Killer:
    def __init__(self, step: int) -> None:
        self._left = step

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "return") and frame.f_code in STEPS:
            self._left -= 1
            if self._left == 0:
                os._exit(KILLED)


def again_and_end(life: Life) -> None:
    """kubelet repeats the call, and later the pod ends."""
    life.publish(life.pool)
    assert life.is_shown()
    life.unpublish(life.pool)


def end(life: Life) -> None:
    """The pod ends at once."""
    life.unpublish(life.pool)


def forgotten(life: Life) -> None:
    """kubelet undoes only what it knows of."""
    subprocess.run(["umount", "--recursive", "--quiet", life.target], check=False)
    pods = life.folder / "pods"
    shutil.rmtree(pods / life.wanted.pod)
    ScratchCare(life.pool, life.volumes(life.pool), life.folder, Turnstile()).look()


WANTED = {
    "empty": {"size": str(16 * MIB)},
    "copy": {"copyOf": "orders"},
    "block": {"copyOf": "orders", "mode": "block"},
}


@pytest.fixture
def pool(pool_spec: str) -> Iterator[HostPool]:
    with contextlib.closing(open_pool(pool_spec, 10.0)) as pool:
        yield pool


@pytest.fixture
def life(
    request: pytest.FixtureRequest, pool: HostPool, pool_spec: str, tmp_path: Path, host: Host
) -> Life:
    """A volume to be made, a copy of a disk with one file, or with something at 1 MiB."""
    attributes = WANTED[request.param]
    pool.create(Disk("orders", 16 * MIB))
    device = pool.attach("orders")
    if "mode" in attributes:
        descriptor = os.open(device, os.O_WRONLY)
        os.pwrite(descriptor, b"first", MIB)
        os.fsync(descriptor)
        os.close(descriptor)
        pool.mark("orders", Content.RAW)
    else:
        subprocess.run([f"mkfs.{DEFAULT_FILESYSTEM}", "-q", device], check=True)
        place = tmp_path / "orders"
        place.mkdir()
        subprocess.run(["mount", device, place], check=True)
        (place / "file").write_bytes(b"first")
        subprocess.run(["umount", place], check=True)
        pool.mark("orders", Content.FORMATTED)
    pool.detach("orders")
    assert host.mounts() == []
    return Life(pool_spec, tmp_path, attributes, pool)


def on_loop(*cases: object) -> list[Any]:
    """Cases that LVM does in the same steps as another."""
    return [pytest.param(case, marks=pytest.mark.loop_only) for case in cases]


def assert_nothing_is_left(life: Life, host: Host) -> None:
    assert [disk.name for disk in life.pool.disks()] == ["orders"]
    assert life.pool.scratch() == []
    assert host.mounts() == []
    assert host.loop_devices() == []
    assert host.suspended_devices() == []
    assert not life.target.exists()
    assert list((life.folder / "scratch").glob("*")) == []


@pytest.mark.parametrize("life", ["copy", *on_loop("empty", "block")], indirect=True)
@pytest.mark.parametrize(
    "then",
    [
        again_and_end,
        *on_loop(end, forgotten),
    ],
)
def test_a_kill_at_any_step_of_making_one(life: Life, host: Host, then: Then) -> None:
    step = 1
    life.appear()
    while life.killed(life.publish, step):
        then(life)
        assert_nothing_is_left(life, host)
        life.appear()
        step += 1

    assert step > 8
    assert life.is_shown()
    life.unpublish(life.pool)
    assert_nothing_is_left(life, host)


@pytest.mark.parametrize("life", ["block", *on_loop("empty", "copy")], indirect=True)
@pytest.mark.parametrize("then", [end, *on_loop(forgotten)])
def test_a_kill_at_any_step_of_removing_one(life: Life, host: Host, then: Then) -> None:
    step, was_killed = 1, True
    while was_killed:
        life.appear()
        life.publish(life.pool)
        was_killed = life.killed(life.unpublish, step)
        if was_killed:
            then(life)
        assert_nothing_is_left(life, host)
        step += 1

    assert step > 8


def test_kills_in_the_middle_of_both_calls(
    tmp_path: Path, app: Apps, operator: Operator, driver: LocalDriver, host: Host
) -> None:
    operator.create("orders")
    db = app("orders").deploy()
    db.write(b"first")
    rehearsal = Pod(driver, tmp_path / "kubelet", {"copyOf": "orders"}, read_only=True)
    starting, ending = seconds(rehearsal.start), seconds(rehearsal.end)

    for share in (0.2, 0.4, 0.6, 0.8):
        mover = Pod(driver, tmp_path / "kubelet", {"copyOf": "orders"}, read_only=True)
        kill_during(driver, mover.start, starting * share)
        driver.start()
        until_it_succeeds(mover.start)
        assert (mover.target / "data").read_bytes() == b"first"
        kill_during(driver, mover.end, ending * share)
        driver.start()
        until_it_succeeds(mover.end)
        assert not mover.target.exists()
        with refused(grpc.StatusCode.NOT_FOUND, mover.volume):
            operator.get(mover.volume)
        db.write(b"first")  # nothing is frozen

    db.stop()
    operator.delete("orders")
    test_kills.assert_nothing_is_left(operator, host)
