"""The VMs themselves: what the tests on real LVM stand on."""

from pathlib import Path

import pytest

from tests.lvm.vm import Vm, VmError, make_image, run

pytestmark = pytest.mark.lvm


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_image(tmp_path / "disk.img", 4 << 30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vm"


def test_the_status_and_output_of_the_command_come_out(folder: Path) -> None:
    outcome = run(folder, "echo said; exit 7")

    assert outcome.status == 7
    assert "said" in outcome.console


def test_a_thin_pool_can_be_made_and_is_there_after_a_reboot(folder: Path, disk: Path) -> None:
    making = run(folder, "tests/lvm/make-pool /dev/ubda", disks=[disk])
    assert making.status == 0, making.console

    lvs = "lvs --noheadings --options lv_name,lv_attr miren"
    rebooted = run(folder, f"{lvs} && lvcreate -V 8G -T miren/pool -n thin", disks=[disk])

    assert rebooted.status == 0, rebooted.console
    assert "pool    twi---" in rebooted.console  # known, and not active: nobody has used it yet
    assert "foreign -wi---" in rebooted.console


def test_a_power_cut_takes_what_was_not_synced(folder: Path, disk: Path) -> None:
    mount = "mkdir /run/data && mount /dev/ubda /run/data"
    with Vm(
        folder,
        f"""mkfs.ext4 -q /dev/ubda && {mount} && cd /run/data
        echo kept >synced && sync
        echo lost >unsynced
        echo b >/proc/sysrq-trigger""",
        disks=[disk],
    ) as vm:
        assert vm.ended(within=60)

    rebooted = run(folder, f"{mount} && ls /run/data && cat /run/data/synced", disks=[disk])

    assert rebooted.status == 0, rebooted.console
    assert "kept" in rebooted.console
    assert "unsynced" not in rebooted.console


def test_a_vm_that_hangs_is_given_up(folder: Path) -> None:
    with pytest.raises(VmError, match=r"not done after 3 s; its console ended so:"):
        run(folder, "sleep infinity", timeout=3)

    assert _kernels_of(folder) == []


def test_a_vm_whose_power_is_cut_has_no_status(folder: Path) -> None:
    with pytest.raises(VmError, match="died before its command was done"):
        run(folder, "echo b >/proc/sysrq-trigger")


def test_a_vm_leaves_no_process_behind(folder: Path) -> None:
    with Vm(folder, "sleep infinity & while :; do :; done") as vm:
        assert not vm.ended(within=3)
        assert _kernels_of(folder)

    assert _kernels_of(folder) == []


def _kernels_of(folder: Path) -> list[str]:
    """The pids of all processes that were started with something of `folder`."""
    return [
        process.parent.name
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(folder).encode() in process.read_bytes()
    ]
