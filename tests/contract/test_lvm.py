"""What only LVM can get wrong: a shell that dies, devices left suspended, calls half-done."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from controller import lvm_lock, lvm_tags, names
from controller.lvm_cut import Cutter
from controller.lvm_group import VolumeGroup
from controller.lvm_pool import LvmPool
from controller.lvm_session import LvmSession
from controller.thin_pool import ThinPool
from csi.disk import MIB, Disk, NewSnapshot, Source, SourceKind
from csi.errors import Busy, DiskInUse, Incompatible, ProgramFailed
from tests.contract import raw
from tests.contract.host import Host, is_writable

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


def pages_given(pid: int | None) -> int:
    """What a process has had of the kernel so far: minflt in proc_pid_stat(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_an_inventory_costs_one_command_however_many_disks(pool_spec: str) -> None:
    commands: list[str] = []
    spec = pool_spec.removeprefix("lvm:")
    with closing(LvmPool(spec, 100, lambda command, _: commands.append(command))) as pool:
        for name in ("a", "b", "c"):
            pool.create(Disk(name, 64 * MIB))
        commands.clear()

        assert len(pool.inventory().disks) == 3

    assert commands == ["lvs"]


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


def test_the_shell_keeps_the_memory_that_a_change_needs(
    session: LvmSession, pool_spec: str
) -> None:
    """LVM reserves 8 MiB before it suspends anything: lvm.conf(5), reserved_memory."""
    make = ("lvcreate", "--virtualsize=8M", f"--thinpool={pool_spec.removeprefix('lvm:')}")
    assert session.call(*make, "--name=first").ok
    before = pages_given(session.shell_pid)

    assert session.call(*make, "--name=second").ok

    assert pages_given(session.shell_pid) - before < 8 * MIB // resource.getpagesize()


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


GROUP = [NewSnapshot("wal 1", "wal", "1"), NewSnapshot("tables 1", "tables", "1")]


@pytest.fixture
def mounted(lvm_pool: LvmPool, host: Host) -> list[Path]:
    """Where the disks of the group are mounted."""
    places = []
    for one in GROUP:
        lvm_pool.create(Disk(one.disk, 64 * MIB))
        device = lvm_pool.attach(one.disk)
        host.format(device, "ext4")
        places.append(host.mount(device))
    return places


def test_a_group_with_a_member_that_somebody_has_frozen(
    lvm_pool: LvmPool, mounted: list[Path]
) -> None:
    """Before Linux 6.8 a filesystem cannot be frozen a second time (fs/super.c, freeze_super)."""
    nests = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 8)
    refused = pytest.raises(Busy, match=r'"tables 1" is frozen.*by hand; try again')
    run("fsfreeze", "--freeze", mounted[1])
    try:
        with nullcontext() if nests else refused:
            lvm_pool.create_snapshots(GROUP)
        assert is_writable(mounted[0], within=10)
        assert not is_writable(mounted[1], within=1)
    finally:
        run("fsfreeze", "--unfreeze", mounted[1])
    assert len(lvm_pool.snapshots()) == (2 if nests else 0)

    assert len(lvm_pool.create_snapshots(GROUP)) == 2


def test_no_lvm_command_runs_on_a_group_that_is_locked(vg: str) -> None:
    with lvm_lock.held(vg):
        command = subprocess.Popen(["lvs", vg], stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(1)
    assert command.wait(30) == 0


def test_disks_without_a_device_are_members_of_a_group(lvm_pool: LvmPool, vg: str) -> None:
    for one in GROUP:
        disk = lvm_pool.create(Disk(one.disk, 8 * MIB))
        raw.write(lvm_pool.attach(disk.name), 0, disk.name.encode())
        run("lvchange", "--quiet", "--quiet", "-an", f"{vg}/{lv_of(disk)}")

    lvm_pool.create_snapshots(GROUP)

    for one in GROUP:
        source = Source(SourceKind.SNAPSHOT, one.name)
        clone = lvm_pool.create(Disk(f"clone of {one.name}", 8 * MIB, source=source))
        assert raw.read(lvm_pool.attach(clone.name), 0, len(one.disk)) == one.disk.encode()


def test_lvm_and_the_kernel_agree_after_a_group_was_cut(
    lvm_pool: LvmPool, mounted: list[Path], vg: str
) -> None:
    for number in range(3):
        members = [NewSnapshot(f"{one.disk} {number}", one.disk, f"{number}") for one in GROUP]
        lvm_pool.create_snapshots(members)
        (mounted[0] / f"{number}").write_bytes(bytes(MIB))
        lvm_pool.create(Disk(f"new {number}", 8 * MIB))
        lvm_pool.delete_snapshots([members[0].name])

    status = run("dmsetup", "status", f"{vg}-pool-tpool").split()
    transaction = run("lvs", "--noheadings", "-o", "transaction_id", f"{vg}/pool").strip()
    assert status[3] == transaction
    run("vgck", vg)


@pytest.mark.parametrize("and_by_the_kernel", [False, True])
def test_a_group_that_a_kill_kept_from_being_cut_is_removed(
    lvm_pool: LvmPool, mounted: list[Path], vg: str, *, and_by_the_kernel: bool
) -> None:
    lvm_pool.create_snapshots(GROUP)
    (wal, tables) = lvm_pool.snapshots()[::-1]
    moment = lvm_tags.tag(lvm_tags.TIME, str(wal.created_ns))
    lv = names.stem(names.SNAPSHOT, wal.name)
    run("lvchange", "--quiet", "--quiet", "--deltag", moment, f"{vg}/{lv}")
    if and_by_the_kernel:
        number = run("lvs", "--noheadings", "-o", "thin_id", f"{vg}/{lv}").strip()
        run("dmsetup", "message", f"{vg}-pool-tpool", "0", f"delete {number}")
    assert lvm_pool.snapshots() == [tables], "what was not cut is not shown"

    lvm_pool.recover()

    assert lvm_pool.snapshots() == []
    assert len(lvm_pool.create_snapshots(GROUP)) == 2
    assert all(is_writable(place, within=10) for place in mounted)


def test_what_another_driver_cuts_now_is_no_killed_ones(
    lvm_pool: LvmPool, mounted: list[Path], pool_spec: str
) -> None:
    lvm_pool.create_snapshots(GROUP)
    vg, _, thin_pool = pool_spec.removeprefix("lvm:").partition("/")
    wal = next(one for one in lvm_pool.snapshots() if one.disk == "wal")
    lv, moment = names.stem(names.SNAPSHOT, wal.name), str(wal.created_ns)
    tag = lvm_tags.tag(lvm_tags.TIME, moment)
    run("lvchange", "--quiet", "--quiet", "--deltag", tag, f"{vg}/{lv}")

    with Cutter(ThinPool(vg, thin_pool)).still(["wal", "tables"]):
        lvm_pool.recover()
        run("lvs", f"{vg}/{lv}")

    lvm_pool.recover()
    with pytest.raises(subprocess.CalledProcessError):
        run("lvs", f"{vg}/{lv}")
    assert all(is_writable(place, within=10) for place in mounted)


def kernel(vg: str, text: str) -> None:
    run("dmsetup", "message", f"{vg}-pool-tpool", "0", text)


def transactions(vg: str) -> tuple[str, str]:
    """The transaction of the pool as LVM has it, and as the kernel has it."""
    written = run("lvs", "--noheadings", "-o", "transaction_id", f"{vg}/pool").strip()
    return written, run("dmsetup", "status", f"{vg}-pool-tpool").split()[3]


def test_what_a_killed_lvcreate_left_in_the_pool_makes_room(lvm_pool: LvmPool, vg: str) -> None:
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    kernel(vg, "create_thin 2")  # LVM has not come to write it down
    lvm_pool.create(Disk("uploads", 8 * MIB))
    kernel(vg, "create_snap 3 1")
    lvm_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])

    assert transactions(vg)[0] == transactions(vg)[1]
    assert lvm_pool.attach("uploads").is_block_device()


def test_what_a_killed_lvcreate_left_is_removed_at_the_start(lvm_pool: LvmPool, vg: str) -> None:
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    kernel(vg, "create_snap 3 1")

    lvm_pool.recover()

    lvm_pool.create(Disk("uploads", 8 * MIB))  # moves the pool on
    lvm_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])


def test_a_volume_that_lvm_has_lost_is_left_alone(lvm_pool: LvmPool, vg: str) -> None:
    nightly = [NewSnapshot("nightly", "pgdata")]
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    kernel(vg, "create_snap 3 1")
    lvm_pool.create(Disk("uploads", 8 * MIB))

    with pytest.raises(ProgramFailed, match="already contain thin device with device_id 3"):
        lvm_pool.create_snapshots(nightly)

    kernel(vg, "delete 3")  # it is still there
    lvm_pool.create_snapshots(nightly)


def test_a_kernel_that_is_a_step_ahead_goes_back_at_the_start(lvm_pool: LvmPool, vg: str) -> None:
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    written, _ = transactions(vg)
    kernel(vg, "create_thin 2")
    kernel(vg, f"set_transaction_id {written} {int(written) + 1}")

    lvm_pool.recover()

    assert transactions(vg) == (written, written)
    disk = lvm_pool.create(Disk("uploads", 8 * MIB))
    assert transactions(vg)[0] == transactions(vg)[1]
    raw.write(lvm_pool.attach(disk.name), 0, b"works")


def unsay_creation(vg: str, lv: str, workdir: Path, *, told: bool) -> None:
    """Make it as if LVM had been killed when the new `lv` was written down, before its end.

    Args:
        told: whether the kernel had been told to make the volume.
    """
    written, _ = transactions(vg)
    number = run("lvs", "--noheadings", "-o", "thin_id", f"{vg}/{lv}").strip()
    leave_message(vg, lv, workdir)
    if not told:
        kernel(vg, f"delete {number}")
    kernel(vg, f"set_transaction_id {written} {int(written) - 1}")


def leave_message(vg: str, lv: str, workdir: Path) -> None:
    """Have LVM keep in mind that the kernel is to be told to create an LV."""
    backup = workdir / "vg"
    run("vgcfgbackup", "-f", backup, vg)
    message = f'zero_new_blocks = 1\nmessage1 {{\ncreate = "{lv}"\n}}'
    backup.write_text(backup.read_text().replace("zero_new_blocks = 1", message))
    run("vgcfgrestore", "--yes", "--force", "-f", backup, vg)


def volumes(vg: str) -> tuple[list[str], list[str]]:
    """The numbers of the pool's volumes as LVM has them, and as the kernel has them."""
    told = run("lvs", "--noheadings", "-o", "thin_id", "-S", "thin_id!=0", vg).split()
    kernel(vg, "reserve_metadata_snap")
    try:
        known = run("thin_ls", "-m", "--no-headers", "-o", "DEV", f"/dev/mapper/{vg}-pool_tmeta")
    finally:
        kernel(vg, "release_metadata_snap")
    return sorted(told), sorted(known.split())


@pytest.mark.parametrize("told", [True, False])
def test_a_snapshot_that_the_kernel_was_not_told_to_the_end_is_undone(
    lvm_pool: LvmPool, vg: str, tmp_path: Path, *, told: bool
) -> None:
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    device = lvm_pool.attach("pgdata")
    lvm_pool.create_snapshots([NewSnapshot("monday", "pgdata")])
    raw.write(device, 0, b"before")
    lvm_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
    unsay_creation(vg, names.stem(names.SNAPSHOT, "nightly"), tmp_path, told=told)

    lvm_pool.recover()

    assert [one.name for one in lvm_pool.snapshots()] == ["monday"], "nobody was answered"
    lvm_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
    raw.write(device, 0, b"after!")
    lvm_pool.delete_snapshots(["monday"])
    lvm_pool.create(Disk("copy", 8 * MIB, source=Source(SourceKind.SNAPSHOT, "nightly")))
    assert raw.read(lvm_pool.attach("copy"), 0, 6) == b"before"
    assert transactions(vg)[0] == transactions(vg)[1]
    assert volumes(vg)[0] == volumes(vg)[1]


@pytest.mark.parametrize("last", [True, False])
def test_what_lvm_has_told_the_kernel_already_keeps_nothing_else_from_being_told(
    lvm_pool: LvmPool, vg: str, tmp_path: Path, *, last: bool
) -> None:
    """It was killed when the kernel had made the snapshot, before it could write down the end."""
    lvm_pool.create(Disk("pgdata", 8 * MIB))
    lvm_pool.create_snapshots([NewSnapshot("monday", "pgdata")])
    lvm_pool.create_snapshots([NewSnapshot("nightly", "pgdata")])
    leave_message(vg, names.stem(names.SNAPSHOT, "nightly"), tmp_path)

    lvm_pool.recover()
    for name in ("nightly", "monday") if last else ("monday", "nightly"):
        lvm_pool.delete_snapshots([name])

    assert transactions(vg)[0] == transactions(vg)[1]
    assert volumes(vg)[0] == volumes(vg)[1]


@pytest.mark.parametrize("told", [True, False])
def test_a_disk_that_the_kernel_was_not_told_to_the_end_is_undone(
    lvm_pool: LvmPool, vg: str, tmp_path: Path, *, told: bool
) -> None:
    lvm_pool.create(Disk("uploads", 8 * MIB))
    disk = lvm_pool.create(Disk("pgdata", 8 * MIB))
    run("lvchange", "--quiet", "--quiet", "-an", f"{vg}/{lv_of(disk)}")
    unsay_creation(vg, lv_of(disk), tmp_path, told=told)

    lvm_pool.recover()

    lvm_pool.delete("uploads")
    assert lvm_pool.create(Disk("pgdata", 8 * MIB)) == disk
    raw.write(lvm_pool.attach("pgdata"), 0, b"works")
    assert transactions(vg)[0] == transactions(vg)[1]
    assert volumes(vg)[0] == volumes(vg)[1]


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
