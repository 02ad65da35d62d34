"""What only LVM can get wrong: a shell that dies, devices left suspended, calls half-done."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller import lvm_tags, names
from controller.lvm_group import VolumeGroup
from controller.lvm_pool import LvmPool
from controller.lvm_session import LvmSession
from csi.disk import MIB, Disk, NewSnapshot
from csi.errors import DiskInUse, Incompatible, Refused
from tests.contract.host import Host

pytestmark = pytest.mark.lvm_only


@pytest.fixture
def lvm_pool(pool_spec: str) -> Iterator[LvmPool]:
    with closing(LvmPool(pool_spec.removeprefix("lvm:"), overcommit=100)) as pool:
        yield pool


@pytest.fixture
def host(tmp_path: Path, lvm_pool: LvmPool) -> Iterator[Host]:  # noqa: ARG001 - closed after it
    host = Host(tmp_path)
    yield host
    host.clear()


@pytest.fixture
def session() -> Iterator[LvmSession]:
    with closing(LvmSession()) as session:
        yield session


@pytest.fixture
def vg(pool_spec: str) -> str:
    return pool_spec.removeprefix("lvm:").partition("/")[0]


def lv_of(disk: Disk) -> str:
    return names.stem(names.DISK, disk.name)


def run(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_killed_shell_is_replaced(session: LvmSession, vg: str) -> None:
    assert session.call("lvs", vg).ok
    first = session.shell_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    assert session.call("lvs", vg).ok, "a process of its own does it meanwhile"
    assert session.call("lvs", vg).ok
    assert session.shell_pid not in (None, first)


def test_what_a_dead_shell_left_is_mended(vg: str) -> None:
    mended: list[object] = []
    with closing(LvmSession(heal=mended.append)) as session:
        session.call("lvs", vg)
        assert session.shell_pid is not None
        os.kill(session.shell_pid, signal.SIGKILL)
        session.call("lvs", vg)
    assert len(mended) == 1


def test_errors_are_told_by_the_shell_as_by_a_process(session: LvmSession, vg: str) -> None:
    reply = session.call("lvs", f"{vg}/no-such-lv")
    assert not reply.ok
    assert f'Failed to find logical volume "{vg}/no-such-lv"' in reply.message


def test_a_word_that_lvm_could_misread_is_never_sent(session: LvmSession) -> None:
    with pytest.raises(ValueError, match="not a safe word"):
        session.call("lvs", "vg; lvremove -f vg")


def test_a_device_left_suspended_is_resumed_at_the_start(lvm_pool: LvmPool) -> None:
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    device = lvm_pool.attach(disk.name)
    run("dmsetup", "suspend", device.name)

    lvm_pool.recover()

    run("dd", "if=/dev/zero", f"of={device}", "bs=4k", "count=1", "oflag=direct", "status=none")


def test_a_device_left_suspended_is_resumed_when_it_is_attached(lvm_pool: LvmPool) -> None:
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    device = lvm_pool.attach(disk.name)
    run("dmsetup", "suspend", device.name)

    assert lvm_pool.attach(disk.name) == device

    run("dd", "if=/dev/zero", f"of={device}", "bs=4k", "count=1", "oflag=direct", "status=none")


def test_a_group_that_cannot_be_held_still_is_refused(lvm_pool: LvmPool, host: Host) -> None:
    for name in ("wal", "tables"):
        lvm_pool.create(Disk(name, 64 * MIB))
        device = lvm_pool.attach(name)
        host.format(device, "ext4")
        host.mount(device)

    with pytest.raises(Refused, match=r'"tables" and "wal" are mounted.*needs Linux 6\.8'):
        lvm_pool.create_snapshots([NewSnapshot("w 1", "wal", "1"), NewSnapshot("t 1", "tables")])
    assert lvm_pool.snapshots() == []
    (alone,) = lvm_pool.create_snapshots([NewSnapshot("w 2", "wal")])
    assert alone.disk == "wal"


def test_a_clone_that_a_kill_kept_from_growing_grows_later(lvm_pool: LvmPool, vg: str) -> None:
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    grow = lvm_tags.tag(lvm_tags.GROW, str(16 * MIB))
    run("lvchange", "--quiet", "--quiet", "--addtag", grow, f"{vg}/{lv_of(disk)}")

    assert lvm_pool.create(Disk("pgdata", 16 * MIB)).size == 16 * MIB
    assert lvm_pool.get("pgdata").size == 16 * MIB


def test_a_strangers_lv_of_our_name_is_left_alone(lvm_pool: LvmPool, vg: str) -> None:
    wanted = Disk("pgdata", 8 * MIB)
    run("lvcreate", "--quiet", "--quiet", "-y", "-L", "8M", "-n", lv_of(wanted), vg)
    try:
        with pytest.raises(Incompatible, match="which is not ours"):
            lvm_pool.create(wanted)
        assert lvm_pool.disks() == []
    finally:
        run("lvremove", "--quiet", "--quiet", "-f", f"{vg}/{lv_of(wanted)}")


def test_a_raw_device_bound_somewhere_is_not_deleted(lvm_pool: LvmPool, tmp_path: Path) -> None:
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    target = tmp_path / "device"
    target.touch()
    run("mount", "--bind", lvm_pool.attach(disk.name), target)
    try:
        with pytest.raises(DiskInUse, match=f"mounted at {target}"):
            lvm_pool.delete(disk.name)
    finally:
        run("umount", target)


def test_an_inactive_disk_is_activated_at_attach(lvm_pool: LvmPool, vg: str) -> None:
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    run("lvchange", "--quiet", "--quiet", "-an", f"{vg}/{lv_of(disk)}")
    assert lvm_pool.device(disk.name) is None

    assert lvm_pool.attach(disk.name).is_block_device()


def test_lvm_without_the_profile_works_by_processes(
    vg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = Path(os.environ.get("LVM_SYSTEM_DIR", "/etc/lvm")) / "lvm.conf"
    (tmp_path / "lvm.conf").write_bytes(conf.read_bytes())
    monkeypatch.setenv("LVM_SYSTEM_DIR", str(tmp_path))
    with closing(LvmSession()) as session:
        group = VolumeGroup(vg, session)
        assert session.shell_pid is None
        assert "pool" in [row["lv_name"] for row in group.rows()]
        assert group.row("no-such-lv") is None
