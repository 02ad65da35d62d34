"""A power cut in the middle of a disk's life, and the reboot after it."""

import shlex
import sys
import time
from pathlib import Path

import pytest

from tests.lvm.vm import Vm, make_image, run

pytestmark = pytest.mark.lvm

_MOUNT_STATE = "mkdir /run/state; mount /dev/ubdb /run/state"
_PATIENCE = 180.0
_RECORDS = 40


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """The machine's disks: one for the VG, one for files."""
    return [make_image(tmp_path / name, 8 << 30) for name in ("vg.img", "files.img")]


@pytest.mark.parametrize("pool", ["lvm:miren/pool", "loop:/run/state/pool"])
def test_what_was_synced_survives_a_power_cut(
    tmp_path: Path, images: list[Path], pool: str
) -> None:
    folder = tmp_path / "vm"
    prepare = "tests/lvm/make-pool /dev/ubda; mkfs.ext4 -q /dev/ubdb"
    writing = f"set -e; {prepare}; {_MOUNT_STATE}; {_step('before', pool)}"
    with Vm(folder, writing, disks=images) as vm:
        _wait_for_records(vm)
        vm.cut_power()

    rebooted = run(folder, f"set -e; {_MOUNT_STATE}; {_step('after', pool)}", disks=images)

    assert rebooted.status == 0, rebooted.console
    assert "all that was synced is there" in rebooted.console


def _step(name: str, pool: str) -> str:
    return shlex.join([sys.executable, "-m", "tests.lvm.reboot", name, pool])


def _wait_for_records(vm: Vm) -> None:
    """Wait until every app has synced some records and an mkfs is in its middle."""
    deadline = time.monotonic() + _PATIENCE
    synced, half_made = vm.share / "synced", vm.share / "half-made"
    while not half_made.exists() or int(_text(synced) or 0) < _RECORDS:
        if vm.ended(within=0.1) or time.monotonic() > deadline:
            raise vm.failure("the apps in the VM have not synced anything")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
