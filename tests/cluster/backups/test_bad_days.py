"""Whatever is in the way of a backup, or killed in it: it is told, and nothing is left."""

import functools
import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.apps import Apps, claim, pod
from tests.cluster.backups.keeper import Keeper, assert_holds, records
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.kills import Victim, kill_service
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.s3_server import S3Server
from tests.cluster.waiting import wait_until
from tests.cluster.writer import Writer


def test_what_is_in_the_way_is_told(
    keeper: Keeper, writer: Writer, bucket: str, tmp_path: Path
) -> None:
    assert "does not exist" in keeper.fails("backup", "nosuch", "--to", bucket)
    missing = keeper.fails("backup", writer.volume, "--to", bucket, "--secret", "nosuch")
    assert 'secret "nosuch" not found' in missing
    missing = keeper.fails("backup", writer.volume, "--to", bucket, "--snapshot", "nosuch")
    assert 'snapshot "nosuch" does not exist' in missing
    keeper.does("create", "other", "-s", "64Mi")
    keeper.does("snapshot", "create", "other", "others")
    other = keeper.fails("backup", writer.volume, "--to", bucket, "--snapshot", "others")
    assert 'snapshot "others" is of disk "other"' in other
    keeper.does("snapshot", "delete", "others", "--yes")
    keeper.does("delete", "other", "--yes")
    away = keeper.fails("backup", "list", "s3:http://10.200.0.1:1/nothing")
    assert "10.200.0.1:1" in away
    small = tmp_path / "small"
    small.mkdir()
    writer.apps.run(writer.pod, "head -c 8000000 /dev/urandom >/data/noise; sync")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        full = keeper.fails("backup", writer.volume, "--to", str(small / "shop.miren"))
        assert "no room" in full
        assert [*small.iterdir()] == []
    finally:
        subprocess.run(["umount", small], check=True)
    writer.goes_on()


@pytest.fixture
def held_up(keeper: Keeper, writer: Writer, bucket: str) -> Iterator["subprocess.Popen[str]"]:
    """A backup whose copy is cut, and which waits for an app that has not gone on yet."""
    waits = "while [ ! -e /tmp/go ]; do usleep 100000; done"
    command = keeper.begins("backup", writer.volume, "--to", bucket, "--post", waits)
    in_pod = "ps | grep -v grep | grep -c 'while .* /tmp/go'"

    def is_waiting() -> bool:
        try:
            return int(writer.apps.run(writer.pod, in_pod)) > 0
        except KubectlError:
            assert command.poll() is None, command.communicate()
            return False

    wait_until(is_waiting, "the copy is cut", within=60)
    yield command
    command.kill()
    command.wait()


def lets_go(writer: Writer) -> None:
    writer.apps.run(writer.pod, "touch /tmp/go")


def test_two_backups_of_a_disk_do_not_meet(
    keeper: Keeper, writer: Writer, held_up: "subprocess.Popen[str]", bucket: str
) -> None:
    (job,) = keeper.movers("job")

    second = keeper.fails("backup", writer.volume, "--to", bucket)

    assert f'a backup of disk "{writer.volume}" is under way since' in second
    assert f"kubectl delete job -n {NAMESPACE} {job}" in second
    lets_go(writer)
    output, errors = held_up.communicate(timeout=120)
    assert held_up.returncode == 0, errors
    assert "backed up to" in output


def test_a_mover_that_is_taken_away_is_told_and_leaves_nothing(
    keeper: Keeper, writer: Writer, held_up: "subprocess.Popen[str]", driver: Driver, bucket: str
) -> None:
    (mover,) = keeper.movers("pod")

    driver.kubectl("delete", "pod", mover, "--force", "--grace-period=0")

    lets_go(writer)
    output, errors = held_up.communicate(timeout=120)
    assert (held_up.returncode, output) == (1, "")
    assert "was deleted before it had done its work" in errors
    wait_until(lambda: not keeper.movers("pod"), "the pod is gone", within=60)
    keeper.does("backup", writer.volume, "--to", bucket)


def test_who_is_told_to_end_leaves_nothing(
    keeper: Keeper, writer: Writer, held_up: "subprocess.Popen[str]"
) -> None:
    held_up.terminate()
    held_up.communicate(timeout=60)

    assert held_up.returncode == 130
    wait_until(lambda: not keeper.movers("job"), "the Job is gone", within=60)
    writer.goes_on()


def begins_to_move(keeper: Keeper, *words: str) -> "subprocess.Popen[str]":
    """Start a command whose mover then waits for a server that does not answer."""
    command = keeper.begins(*words)
    running = "status.phase=Running"
    wait_until(lambda: keeper.movers("pod", running), "its mover runs", within=90)
    return command


def test_a_disk_that_is_deleted_meanwhile_is_in_the_backup(
    keeper: Keeper, apps: Apps, new: str, bucket: str, absent: S3Server
) -> None:
    keeper.does("create", new, "--size", "64Mi")
    apps.apply(claim(new, volume=new), pod("app", {"/data": new}))
    apps.ready("app", within=90)
    apps.run("app", "echo 1 >/data/log; sync")
    apps.delete("pod", "app")
    apps.delete("pvc", new)
    wait_until(lambda: "detached" in keeper.does("status", new), "it is released", within=60)
    command = begins_to_move(keeper, "backup", new, "--to", bucket)

    keeper.does("delete", new, "--yes")

    absent.start()
    output, errors = command.communicate(timeout=120)
    assert command.returncode == 0, errors
    assert output.startswith(f'disk "{new}" backed up to {bucket}')
    assert "does not exist" in keeper.fails("status", new)
    keeper.does("restore", bucket, "--as", new)
    assert records(apps, new) == [1]


KILLS: Mapping[str, Callable[[Driver, Node], None]] = {
    "controller": lambda driver, node: kill_container(driver, node, "controller"),
    "node": lambda driver, node: kill_container(driver, node, "node"),
    "kubelet": lambda _, node: kill_service(node, "kubelet"),
    "containerd": lambda _, node: kill_service(node, "containerd"),
}


def kill_container(driver: Driver, node: Node, component: str) -> None:
    victim = Victim(driver, node, component, "driver")
    victim.kill()
    victim.comes_back()


@pytest.fixture
def kill(request: pytest.FixtureRequest, driver: Driver, node: Node) -> Callable[[], None]:
    """Kills what the parameter names, and waits until that is back."""
    return functools.partial(KILLS[request.param], driver, node)


@pytest.mark.parametrize("kill", KILLS, indirect=True)
def test_a_backup_outlives_what_is_killed_around_it(
    keeper: Keeper, writer: Writer, bucket: str, absent: S3Server, kill: Callable[[], None]
) -> None:
    command = begins_to_move(keeper, "backup", writer.volume, "--to", bucket)

    kill()

    absent.start()
    output, errors = command.communicate(timeout=180)
    assert command.returncode == 0, errors
    assert output.startswith(f'disk "{writer.volume}" backed up to {bucket}')
    writer.goes_on()
    assert writer.lost() == []
    assert "1 backup" in keeper.does("backup", "verify", bucket, "--read-data")


def test_the_command_is_killed_and_the_next_one_finds_all_in_order(
    keeper: Keeper, writer: Writer, bucket: str, absent: S3Server
) -> None:
    command = begins_to_move(keeper, "backup", writer.volume, "--to", bucket)
    command.kill()
    command.communicate(timeout=60)
    absent.start()
    (job,) = keeper.movers("job")
    keeper.kubernetes.wait(f"job/{job}", "condition=Complete", namespace=NAMESPACE, within=120)

    said = keeper.does("backup", writer.volume, "--to", bucket)

    # The mover has done its work, whoever listened.
    first, second = json.loads(keeper.does("backup", "list", bucket, "-o", "json"))
    assert f" as {second['backup']}: " in said
    assert first["time"] < second["time"]
    writer.goes_on()


def test_a_restore_that_is_killed_leaves_no_disk_and_is_done_again(
    keeper: Keeper, apps: Apps, bucket: str, new: str
) -> None:
    """Its mover waits for somebody who goes on: the next command says how to be rid of it."""
    keeper.does("create", "origin", "--size", "64Mi")
    apps.apply(claim("origin", volume="origin"), pod("app", {"/data": "origin"}))
    apps.ready("app", within=90)
    apps.run("app", "seq 1000 >/data/log; sync")
    keeper.does("backup", "origin", "--to", bucket)
    command = keeper.begins("restore", bucket, "--as", new)

    def movers(*fields: str) -> list[str]:
        return [one for one in keeper.movers("pod", *fields) if one.startswith("restore-")]

    wait_until(movers, "its mover is made", within=90)
    command.send_signal(signal.SIGSTOP)  # its mover alone goes on
    wait_until(lambda: movers("status.phase=Running"), "its mover runs", within=90)
    command.kill()
    command.communicate(timeout=60)
    assert "does not exist" in keeper.fails("status", new)
    (job,) = keeper.movers("job")
    busy = keeper.fails("restore", bucket, "--as", new)
    advice = f"kubectl delete job -n {NAMESPACE} {job}"
    assert advice in busy
    keeper.kubernetes.kubectl(*advice.split()[1:])

    keeper.does("restore", bucket, "--as", new)

    assert_holds(records(apps, new), 1000)
    apps.delete("pod", "app")
    apps.delete("pvc", "origin")
    wait_until(
        lambda: keeper.run("delete", "origin", "--yes").returncode == 0, "it is free", within=60
    )
