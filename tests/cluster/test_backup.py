"""`kubectl miren disk backup`, `restore` and `schedule`, of disks that apps write to meanwhile."""

import functools
import json
import os
import signal
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.apps import Apps, Manifest, claim, pod, pod_spec
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.kills import Victim
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.programs import KUBECTL_MIREN, folder_with
from tests.cluster.s3_server import KEY, S3Server
from tests.cluster.waiting import wait_until
from tests.cluster.writer import Writer, a_writer

OPENS = {"RESTIC_PASSWORD": "correct horse", **KEY}
_MOVERS = "disk.miren.dev/mover"


@dataclass(frozen=True)
class Keeper:
    """Somebody with an admin's kubeconfig, kubectl, and what opens repositories."""

    kubernetes: Cluster
    node: Node
    programs: Path
    """A folder with kubectl."""

    def does(self, *words: str) -> str:
        """kubectl miren disk, which has to work; returns what it prints."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def fails(self, *words: str, status: int = 1, opens: Mapping[str, str] = OPENS) -> str:
        """kubectl miren disk, which has to fail; returns what it says."""
        done = self.run(*words, opens=opens)
        assert (done.returncode, done.stdout) == (status, ""), f"{words}: {done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def run(
        self, *words: str, opens: Mapping[str, str] = OPENS
    ) -> "subprocess.CompletedProcess[str]":
        return self.kubernetes.run(
            KUBECTL_MIREN, "disk", *words, environment=self._environment(opens), within=300
        )

    def begins(self, *words: str) -> "subprocess.Popen[str]":
        """Start kubectl miren disk."""
        kubeconfig = {"KUBECONFIG": str(self.kubernetes.kubectl.kubeconfig)}
        return subprocess.Popen(
            [*self.kubernetes.network.starter(), KUBECTL_MIREN, "disk", *words],
            env={**os.environ, **self._environment(OPENS), **kubeconfig},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def movers(self, kind: str, *fields: str) -> list[str]:
        """The names of what movers consist of, as far as that is there and has these fields."""
        chosen = ("--selector", _MOVERS, "--field-selector", ",".join(fields))
        found = self.kubernetes.get(kind, *chosen, namespace=NAMESPACE)["items"]
        return [str(one["metadata"]["name"]) for one in found]

    def assert_nothing_is_left(self) -> None:
        """Neither objects, nor volumes, nor mounts."""
        left = {kind: self.movers(kind) for kind in ("job", "pod", "secret")}
        assert left == {"job": [], "pod": [], "secret": []}
        volumes = self.node.run("lvs --noheadings -o lv_name,lv_tags").splitlines()
        assert [one for one in volumes if "scratch" in one] == []
        assert "miren-scratch" not in self.node.run("cat /proc/mounts")

    def _environment(self, opens: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{os.environ['PATH']}", **opens}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_with(tmp_path_factory.mktemp("programs") / "bin", "kubectl")


@pytest.fixture
def keeper(
    kubernetes: Cluster,
    driver: Driver,  # noqa: ARG001 - its disks are backed up
    node: Node,
    programs: Path,
) -> Iterator[Keeper]:
    keeper = Keeper(kubernetes, node, programs)
    yield keeper
    wait_until(lambda: not keeper.movers("pod"), "all movers are gone", within=60)
    keeper.assert_nothing_is_left()


@pytest.fixture(scope="module")
def s3(kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"), kubernetes.network)
    yield server.start()
    server.close()


@pytest.fixture
def absent(s3: S3Server) -> Iterator[S3Server]:
    """The same, which does not answer till it is started."""
    s3.close()
    yield s3
    s3.start()


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A new repository, as --to names it."""
    return s3.bucket(f"bucket-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def writer(kubernetes: Cluster, node: Node, driver: Driver) -> Iterator[Writer]:  # noqa: ARG001
    """An app that writes all the time."""
    with a_writer(kubernetes, node) as writer:
        yield writer


@pytest.fixture
def new(keeper: Keeper) -> Iterator[str]:
    """The name of a disk to restore to, which is deleted in the end."""
    name = f"restored-{uuid.uuid4().hex[:6]}x"
    yield name
    keeper.run("delete", name, "--yes")


def records(apps: Apps, disk: str) -> list[int]:
    """What the writer's log on a restored disk holds, read by an app that claims it by name."""
    apps.apply(claim(disk, volume=disk), pod("reader", {"/data": disk}))
    apps.ready("reader", within=90)
    found = [int(line) for line in apps.run("reader", "cat /data/log").splitlines()]
    apps.delete("pod", "reader")
    apps.delete("pvc", disk)
    return found


def assert_holds(found: list[int], at_least: int) -> None:
    assert found == [*range(1, len(found) + 1)], "records are damaged"
    assert len(found) >= at_least


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


def kill_service(node: Node, name: str) -> None:
    pid = node.run(f"cat /run/{name}.pid")
    node.kill(name)
    wait_until(lambda: node.run(f"cat /run/{name}.pid") != pid, "it is back", within=30)


def begins_to_move(keeper: Keeper, *words: str) -> "subprocess.Popen[str]":
    """Start a command whose mover then waits for a server that does not answer."""
    command = keeper.begins(*words)
    running = "status.phase=Running"
    wait_until(lambda: keeper.movers("pod", running), "its mover runs", within=90)
    return command


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


def raw_pod(name: str, claimed: str) -> Manifest:
    """A pod that has a raw device."""
    return pod(name, {}) | {"spec": pod_spec({}, blocks={"/dev/disk": claimed})}


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


@pytest.fixture
def secret(driver: Driver) -> Iterator[str]:
    """What opens repositories, in the driver's namespace."""
    name = f"nightly-{uuid.uuid4().hex[:6]}"
    words = [f"--from-literal={key}={value}" for key, value in OPENS.items()]
    driver.kubectl("create", "secret", "generic", name, *words)
    yield name
    driver.kubectl("delete", "secret", name)


def test_a_schedule_backs_up_with_the_rights_that_it_has(
    keeper: Keeper, writer: Writer, driver: Driver, bucket: str, secret: str
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
    driver.kubectl("create", "job", f"--from=cronjob/{cron}", "now")
    try:
        driver.kubectl("wait", "job/now", "--for=condition=Complete", "--timeout=120s", within=130)
    except KubectlError as error:
        raise AssertionError(driver.kubectl("logs", "job/now")) from error
    said = driver.kubectl("logs", "job/now")
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
