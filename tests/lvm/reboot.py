"""What happens inside the VM of test_reboot.py, before its power is cut and after the reboot.

`python -m tests.lvm.reboot before|after POOL`, with the disk that survives mounted at /run/state.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from deploy.local_driver import LocalDriver
from tests.life.app import Instance, Operator, refused
from tests.life.gate import gate
from tests.life.host import Host

STATE = Path("/run/state")
SYNCED = Path("/run/share/synced")
"""How many records all apps have synced; read outside, kept over the reboot."""
HALF_MADE = Path("/run/share/half-made")
"""Exists once an mkfs is in its middle."""

RECORD = 4096
CHECKS: Mapping[str, Sequence[str]] = {
    "ext4": ("e2fsck", "-fn"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}


def record(disk: str, number: int) -> bytes:
    return f"{disk} {number}\n".encode().ljust(RECORD, b".")


def start(pool: str) -> LocalDriver:
    (STATE / "driver").mkdir(exist_ok=True)
    return LocalDriver(STATE / "driver", pool)


def instance(driver: LocalDriver, filesystem: str) -> Instance:
    return Instance(driver, STATE / "kubelet", f"on-{filesystem}", filesystem=filesystem)


def before(pool: str) -> None:
    """Write and sync without end on three disks, with an mkfs on a fourth stuck halfway."""
    driver = start(pool)
    with (
        gate(Path("/run/gate"), "mkfs.ext4", halfway=True) as mkfs,
        ThreadPoolExecutor(1) as threads,
    ):
        with driver:
            operator = Operator(driver)
            apps = [instance(driver, filesystem) for filesystem in CHECKS]
            for app in apps:
                operator.create(app.disk, filesystem=app.filesystem)
                app.deploy()
                app.write(record(app.disk, 0))
                operator.snapshot(app.disk, f"{app.disk}-monday")
        mkfs.guard(driver)
        driver.start()
        operator.create("half-made")
        half = Instance(driver, STATE / "kubelet", "half-made")
        half.attach()
        threads.submit(half.stage)
        mkfs.wait_until_reached()
        HALF_MADE.touch()
        number = 0
        while True:
            number += 1
            for app in apps:
                app.write(record(app.disk, number), number * RECORD)
            tell(number)


def tell(number: int) -> None:
    """Let the world outside know, durably; the power may be cut at any moment of it."""
    new = SYNCED.with_name("synced.new")
    with new.open("w") as file:
        file.write(str(number))
        file.flush()
        os.fsync(file.fileno())
    new.replace(SYNCED)


def after(pool: str) -> None:
    """Start the driver on the rebooted machine and look for all that was synced."""
    assert Host(STATE).mounts() == [STATE]
    with start(pool) as driver:
        operator = Operator(driver)
        assert operator.disks() == ["half-made", "on-btrfs", "on-ext4", "on-xfs"]
        for filesystem in CHECKS:
            check(operator, instance(driver, filesystem))
        half = Instance(driver, STATE / "kubelet", "half-made").deploy()
        half.write(b"first order")
        assert half.read(100) == b"first order"
        half.stop()
    print("all that was synced is there")


def check(operator: Operator, app: Instance) -> None:
    second = Instance(app.driver, app.place, app.disk, pod="db-1", filesystem=app.filesystem)
    with refused(grpc.StatusCode.ABORTED, "default/db-0"):  # its lease outlived the power cut
        second.attach()
    app.deploy()
    for number in range(int(SYNCED.read_text()) + 1):
        assert app.read(RECORD, number * RECORD) == record(app.disk, number), (app.disk, number)
    device = Host(STATE).device_of(app.target)
    app.stop()
    subprocess.run([*CHECKS[app.filesystem], device], check=True)

    copy = f"{app.disk}-copy"
    operator.restore(copy, f"{app.disk}-monday", filesystem=app.filesystem)
    monday = Instance(app.driver, app.place, copy, filesystem=app.filesystem).deploy()
    assert monday.read(2 * RECORD) == record(app.disk, 0)
    monday.stop()


if __name__ == "__main__":
    began = time.monotonic()
    {"before": before, "after": after}[sys.argv[1]](sys.argv[2])
    print(f"{sys.argv[1]}: {time.monotonic() - began:.1f} s")
