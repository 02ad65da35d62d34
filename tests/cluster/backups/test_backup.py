"""`kubectl miren disk backup`, `restore` and `schedule`, of disks that apps write to meanwhile."""

import json
import subprocess
import tarfile
import uuid
from pathlib import Path

from tests.cluster.apps import Apps, claim, pod
from tests.cluster.backups.keeper import OPENS, Keeper, assert_holds, raw_pod, records
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until
from tests.cluster.writer import Writer


def test_a_disk_in_use_goes_into_a_file_and_comes_back(
    keeper: Keeper, writer: Writer, apps: Apps, new: str, tmp_path: Path
) -> None:
    synced = len(writer.synced())
    file = tmp_path / "shop.miren"

    said = keeper.does("backup", writer.volume, "--to", str(file))

    assert said.startswith(f'disk "{writer.volume}" backed up to {file}: ')
    writer.goes_on()
    keeper.assert_nothing_is_left()
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert (names[0], names[-1]) == ("miren-disk.json", "SHA256SUMS")
    by_hand = f"tar -xOf {file} --wildcards 'data.*' | zstd -d | tar -xO --wildcards '*log'"
    text = subprocess.run(["sh", "-c", by_hand], capture_output=True, check=True, text=True).stdout
    assert "is sound" in keeper.does("backup", "verify", str(file))
    (listed,) = json.loads(keeper.does("backup", "list", str(file), "-o", "json"))
    assert (listed["disk"], listed["filesystem"]) == (writer.volume, "ext4")
    assert "--force" in keeper.fails("backup", writer.volume, "--to", str(file))
    assert f"to {file}" in keeper.does("status", writer.volume)

    restored = keeper.does("restore", str(file), "--as", new)

    assert restored.startswith(f'disk "{new}" (64 MiB, ext4, on node-1; PersistentVolume {new}) ')
    assert f"volumeName: {new}" in restored
    found = records(apps, new)
    assert_holds(found, synced)
    assert found == [*map(int, text.split())]
    assert "exists already" in keeper.fails("restore", str(file), "--as", new)


def test_a_disk_in_use_goes_to_s3_and_comes_back(
    keeper: Keeper, writer: Writer, apps: Apps, new: str, bucket: str
) -> None:
    disk = writer.volume
    wrong = {**OPENS, "RESTIC_PASSWORD": "wrong horse"}
    writer.apps.run(writer.pod, "head -c 8000000 /dev/urandom >/data/noise; sync")
    keeper.does("backup", disk, "--to", bucket)
    assert "password" in keeper.fails("backup", disk, "--to", bucket, opens=wrong)
    assert "password" in keeper.fails("backup", "list", bucket, opens=wrong)
    assert "RESTIC_PASSWORD" in keeper.fails("backup", "list", bucket, status=2, opens={})
    writer.goes_on()
    synced = len(writer.synced())

    said = keeper.does("backup", disk, "--to", bucket)

    first, second = json.loads(keeper.does("backup", "list", bucket, "-o", "json"))
    assert f" as {second['backup']}: " in said
    assert second["disk"] == disk
    assert first["addedBytes"] > 8_000_000
    assert second["addedBytes"] < 1_000_000
    assert second["backup"] in keeper.does("status", disk)
    assert "2 backups" in keeper.does("backup", "verify", bucket, "--read-data")
    keeper.does("restore", bucket, "--as", new)
    assert_holds(records(apps, new), synced)
    pruned = keeper.does("backup", "prune", bucket, "--keep-last", "1", "--yes")
    assert pruned == f'disk "{disk}": kept: 1 backup; removed: {first["backup"]}\n'
    assert "there is no backup" in keeper.fails(
        *("restore", bucket, "--backup", first["backup"], "--as", f"{new}2"), status=2
    )


def test_a_folder_of_the_node_is_a_repository_too(
    keeper: Keeper, writer: Writer, node: Node
) -> None:
    folder = f"/var/backups/{uuid.uuid4().hex}"
    missing = keeper.fails("backup", "list", f"node:{folder}")
    assert "has not started" in missing
    assert folder in missing

    keeper.does("backup", writer.volume, "--to", f"node:{folder}")

    assert writer.volume in keeper.does("backup", "list", f"node:{folder}")
    assert "config" in node.run(f"ls {folder}")
    keeper.does("snapshot", "create", writer.volume, "earlier")
    writer.goes_on()
    keeper.does("backup", writer.volume, "--to", f"node:{folder}")
    keeper.does("backup", writer.volume, "--to", f"node:{folder}", "--snapshot", "earlier")
    (cut,) = json.loads(keeper.does("snapshot", "list", writer.volume, "-o", "json"))
    found = json.loads(keeper.does("backup", "list", f"node:{folder}", "-o", "json"))
    # It is of the snapshot's moment, and so not the newest.
    assert found[1]["time"][:19] == cut["created"][:19]
    assert found[2]["time"] > found[1]["time"]
    keeper.does("snapshot", "delete", "earlier", "--yes")


def test_hooks_run_around_the_cut(keeper: Keeper, writer: Writer, tmp_path: Path) -> None:
    before, after = ("--pre", "echo before >>/data/told"), ("--post", "echo after >>/data/told")
    file = str(tmp_path / "shop.miren")

    failed = keeper.fails(
        "backup", writer.volume, "--to", file, "--pre", "echo not today; exit 3", *after
    )

    assert "--pre ended with status 3" in failed
    assert "not today" in failed
    assert not Path(file).exists()
    keeper.does("backup", writer.volume, "--to", file, *before, *after)
    # That after the cut is not in what was cut.
    in_file = f"tar -xOf {file} --wildcards 'data.*' | zstd -d | tar -xO --wildcards '*told'"
    cut = subprocess.run(["sh", "-c", in_file], capture_output=True, check=True, text=True).stdout
    assert cut.split() == ["after", "before"]
    told = writer.apps.run(writer.pod, "cat /data/told").split()
    assert told == ["after", "before", "after"]


def test_a_disk_is_replaced_only_when_nobody_has_it(
    keeper: Keeper, apps: Apps, new: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "shop.miren")
    keeper.does("create", new, "--size", "512Mi", "--filesystem", "xfs")
    apps.apply(claim(new, volume=new), pod("app", {"/data": new}))
    apps.ready("app", within=90)
    apps.run("app", "echo monday >/data/log; sync")
    keeper.does("backup", new, "--to", file)
    apps.run("app", "echo tuesday >/data/log; sync")

    assert "is held by" in keeper.fails("restore", file, "--replace", "--yes")
    apps.delete("pod", "app")
    wait_until(lambda: "detached" in keeper.does("status", new), "it is released", within=60)
    assert "is claimed by" in keeper.fails("restore", file, "--replace", "--yes")
    apps.delete("pvc", new)
    assert "exists already" in keeper.fails("restore", file)
    assert "--yes" in keeper.fails("restore", file, "--replace", status=2)
    assert f'disk "{new}" (512 MiB, xfs, ' in keeper.does("restore", file, "--replace", "--yes")

    apps.apply(claim(new, volume=new), pod("app", {"/data": new}))
    apps.ready("app", within=90)
    assert apps.run("app", "cat /data/log") == "monday\n"
    apps.delete("pod", "app")
    apps.delete("pvc", new)


def test_a_raw_device_is_backed_up_as_such(
    keeper: Keeper, apps: Apps, new: str, bucket: str, tmp_path: Path
) -> None:
    apps.apply(claim("raw", block=True), raw_pod("app", "raw"))
    apps.ready("app", within=90)
    apps.run("app", "head -c 3000000 /dev/urandom >/tmp/noise; cat /tmp/noise >/dev/disk; sync")
    disk = apps.volume_of("raw")["spec"]["csi"]["volumeHandle"]
    summed = "head -c 3000000 /dev/disk | sha256sum"
    expected = apps.run("app", summed)
    file = str(tmp_path / "raw.miren")

    keeper.does("backup", disk, "--to", file)
    keeper.does("backup", disk, "--to", bucket)

    for source in (file, bucket):
        assert "block" in keeper.does("restore", source, "--as", new)
        apps.apply(claim(new, volume=new, block=True), raw_pod("reader", new))
        apps.ready("reader", within=90)
        assert apps.run("reader", summed) == expected
        apps.delete("pod", "reader")
        apps.delete("pvc", new)
        wait_until(
            lambda: keeper.run("delete", new, "--yes").returncode == 0, "it is free", within=60
        )


def test_a_schedule_backs_up_with_the_rights_that_it_has(
    keeper: Keeper, writer: Writer, bucket: str, secret: str
) -> None:
    disk = writer.volume
    hooks = ("--pre", "touch /data/frozen", "--post", "rm /data/frozen")
    words = ("schedule", disk, "--cron", "0 3 * * *", "--to", bucket, "--secret", secret)
    dry = keeper.does(*words, *hooks, "--keep-daily", "7", "--dry-run", "-o", "yaml")
    assert "kind: CronJob" in dry
    assert keeper.does("schedule", "list") == "no schedules\n"

    made = keeper.does(*words, *hooks, "--keep-daily", "7")

    (listed,) = json.loads(keeper.does("schedule", "list", "-o", "json"))
    assert (listed["disk"], listed["to"], listed["schedule"]) == (disk, bucket, "0 3 * * *")
    cron = listed["cronJob"]
    assert f"--from=cronjob/{cron}" in made
    said = keeper.runs_now(cron)
    assert f'disk "{disk}" backed up to {bucket}' in said
    assert "kept: 1 backup; removed: 0 backups" in said
    assert "warning" not in said
    assert disk in keeper.does("backup", "list", bucket, "--secret", secret)
    assert bucket in keeper.does("status", disk)
    assert writer.apps.run(writer.pod, "ls /data/frozen 2>&1 || true").endswith(
        "No such file or directory\n"
    )

    assert "its backups stay" in keeper.does("schedule", "delete", disk, "--yes")
    label = f"disk.miren.dev/schedule={cron}"
    kinds = "cronjob,role,rolebinding,clusterrole,clusterrolebinding,serviceaccount"
    left = keeper.kubernetes.get(kinds, "--all-namespaces", "--selector", label)["items"]
    assert left == []
