"""Freezing: a filesystem rests while it is frozen, is always let go, and is never the wrong one."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from csi.errors import Busy, Refused
from node import freeze
from tests.cluster.waiting import wait_until
from tests.contract.host import Host, is_writable, run

pytestmark = pytest.mark.loop_only  # what is frozen is the same below LVM


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """An ext4 filesystem on a device."""
    image = tmp_path / "disk.img"
    with image.open("xb") as file:
        file.truncate(64 << 20)
    device = Path(run("losetup", "--find", "--show", image).strip())
    run("mkfs.ext4", "-q", device)
    yield device
    run("losetup", "--detach", device)


@pytest.fixture
def host(tmp_path: Path, device: Path) -> Iterator[Host]:  # noqa: ARG001 - set up before
    """This machine, with its device unmounted at the end."""
    host = Host(tmp_path)
    yield host
    host.clear()


def test_nothing_is_written_while_it_is_frozen(device: Path, host: Host) -> None:
    target = host.mount(device)

    with freeze.frozen([device]):
        assert not is_writable(target, within=0.3)
    assert is_writable(target, within=10)


def test_an_error_in_the_middle_thaws(device: Path, host: Host) -> None:
    target = host.mount(device)

    with pytest.raises(ZeroDivisionError), freeze.frozen([device]):
        raise ZeroDivisionError

    assert is_writable(target, within=10)


def test_a_killed_watchdog_does_not_matter(device: Path, host: Host) -> None:
    target = host.mount(device)
    me = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    others = set(me.read_text().split())  # the tests' VMs

    with freeze.frozen([device]):
        (watchdog,) = set(me.read_text().split()) - others
        os.kill(int(watchdog), signal.SIGKILL)

    assert is_writable(target, within=10)


def test_what_somebody_else_froze_is_not_thawed(device: Path, host: Host) -> None:
    target = host.mount(device)
    run("fsfreeze", "--freeze", target)

    with pytest.raises(Busy, match=f"{device} is frozen already"), freeze.frozen([device]):
        pass

    assert not is_writable(target, within=0.3)
    assert freeze.thaw(target)
    assert is_writable(target, within=10)


def test_a_copy_during_which_somebody_thawed_does_not_count(device: Path, host: Host) -> None:
    target = host.mount(device)

    with (
        pytest.raises(Busy, match=f"{device} was thawed by somebody"),
        freeze.frozen([device]),
    ):
        assert freeze.thaw(target)


def test_thawing_what_is_not_frozen_is_fine(device: Path, host: Host) -> None:
    assert not freeze.thaw(host.mount(device))


def test_what_is_not_mounted_or_not_writable_needs_no_freezing(device: Path, host: Host) -> None:
    with freeze.frozen([device, Path("/dev/there-is-no-such-device")]):
        pass
    target = host.mount(device, "ro")
    with freeze.frozen([device]):
        assert not freeze.thaw(target)


def test_a_device_named_twice_is_frozen_once(device: Path, host: Host) -> None:
    target = host.mount(device)

    with freeze.frozen([device, device]):
        pass

    assert is_writable(target, within=10)


def test_what_is_mounted_over_a_disk_is_not_frozen_in_its_place(
    device: Path, host: Host, tmp_path: Path
) -> None:
    target = host.mount(device)
    host.bind(tmp_path, target)

    hidden = f"{device} is mounted at {target}, where something else hides it"
    with pytest.raises(Refused, match=hidden), freeze.frozen([device]):
        pass

    assert is_writable(tmp_path, within=10)


def test_a_disk_that_is_hidden_at_one_place_is_frozen_at_another(
    device: Path, host: Host, tmp_path: Path
) -> None:
    target = host.mount(device)
    second = tmp_path / "second"
    second.mkdir()
    host.bind(target, second)
    host.bind(tmp_path, target)

    with freeze.frozen([device]):
        assert not is_writable(second, within=0.3)
    assert is_writable(second, within=10)


def test_only_devices_can_be_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a block device"), freeze.frozen([tmp_path]):
        pass


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGKILL, "the driver"),
        (signal.SIGHUP, "its process group"),
        (signal.SIGQUIT, "its process group"),
        (signal.SIGTERM, "its process group"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_driver_that_dies_leaves_nothing_frozen(
    device: Path, host: Host, number: signal.Signals, whom: str
) -> None:
    target = host.mount(device)
    program = (
        "import pathlib, sys; from node import freeze\n"
        "with freeze.frozen([pathlib.Path(sys.argv[1])]):\n"
        "    print('frozen', flush=True); sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", program, str(device)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as driver:
        assert driver.stdout
        assert driver.stdout.readline() == "frozen\n"
        assert not is_writable(target, within=0.3)
        os.kill(driver.pid if whom == "the driver" else -driver.pid, number)
        assert driver.wait() == -number

    assert is_writable(target, within=10)
    wait_until(lambda: not _is_there(driver.pid), "the freezing process has ended", within=10)


def _is_there(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
