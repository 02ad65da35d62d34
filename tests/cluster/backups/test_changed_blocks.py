"""Backups of raw devices of which only what has changed is read."""

import json

import pytest

from tests.cluster.apps import Apps, claim
from tests.cluster.backups.keeper import Keeper, raw_pod
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.pools("lvm")

WRITTEN = 200 << 20


@pytest.fixture
def disk(apps: Apps) -> str:
    """A raw device of which an app, named app, has written most."""
    apps.apply(claim("raw", block=True, size="256Mi"), raw_pod("app", "raw"))
    apps.ready("app", within=90)
    apps.run("app", f"head -c {WRITTEN} /dev/urandom >/dev/disk && sync")
    handle: str = apps.volume_of("raw")["spec"]["csi"]["volumeHandle"]
    return handle


def change(apps: Apps, at: int) -> None:
    """Have the app write 1 % of what it has written, after so many MiB."""
    apps.run("app", f"dd if=/dev/urandom of=/dev/disk bs=1M count=2 seek={at} conv=notrunc && sync")


def sum_of(apps: Apps, pod: str) -> str:
    return apps.run(pod, "sha256sum </dev/disk")


def test_only_what_has_changed_is_read_and_stored(
    keeper: Keeper, apps: Apps, disk: str, new: str, bucket: str
) -> None:
    words = ("backup", disk, "--changed-blocks", "--to")
    assert "a file has all of the disk" in keeper.fails(*words, "raw.miren", status=2)

    whole = keeper.does(*words, bucket)
    change(apps, at=100)
    changed = keeper.does(*words, bucket)

    first, second = json.loads(keeper.does("backup", "list", bucket, "-o", "json"))
    assert " read as " not in whole
    assert f", 4 MiB read as the rest is known from {first['backup']}, in " in changed
    assert first["dataBytes"] == second["dataBytes"] == WRITTEN
    assert WRITTEN / 100 <= second["addedBytes"] < WRITTEN * 3 / 100
    keeper.does("restore", bucket, "--as", new)
    apps.apply(claim(new, volume=new, block=True), raw_pod("reader", new))
    apps.ready("reader", within=90)
    assert sum_of(apps, "reader") == sum_of(apps, "app")
    apps.delete("pod", "reader")
    apps.delete("pvc", new)


def test_a_schedule_does_so_too_and_the_copy_goes_with_the_disk(
    keeper: Keeper, apps: Apps, disk: str, bucket: str, secret: str
) -> None:
    keeper.does("backup", disk, "--changed-blocks", "--to", bucket)
    (kept,) = keeper.does("snapshot", "list", disk, "-o", "name").splitlines()
    assert "belong to disk backup" in keeper.fails("snapshot", "create", disk, kept, status=2)
    change(apps, at=50)
    words = ("--cron", "@daily", "--to", bucket, "--secret", secret, "--changed-blocks")
    keeper.does("schedule", disk, *words)
    (listed,) = json.loads(keeper.does("schedule", "list", "-o", "json"))

    said = keeper.runs_now(listed["cronJob"])

    assert ", 4 MiB read as the rest is known from " in said
    assert "warning" not in said
    (next_,) = keeper.does("snapshot", "list", disk, "-o", "name").splitlines()
    assert next_ != kept
    keeper.does("schedule", "delete", disk, "--yes")
    apps.delete("pod", "app")
    apps.delete("pvc", "raw")
    wait_until(lambda: keeper.run("delete", disk, "--yes").returncode == 0, "it is free", within=60)
    assert next_ not in keeper.does("snapshot", "list", "-o", "name")
