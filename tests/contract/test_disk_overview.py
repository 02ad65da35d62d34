"""What `kubectl miren disk` reads, from a real API server; what nodes tell is given here."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from controller.lease import Lease, Waiting
from csi.kubernetes_api import KubernetesApi
from csi.object_names import object_name
from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.operate import overview
from deploy.operate.disk_cluster import VOLUMES, DiskCluster, volume_path
from deploy.operate.disk_state import DiskState
from deploy.operate.figures import DiskFigures, Figures
from deploy.operate.overview import DiskFacts
from tests.cluster.api_server import Cluster
from tests.cluster.programs import KUBECTL_MIREN
from tests.contract.leases import put

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

NOW = datetime.now(UTC)
HELD = Lease("", "shop/db-0", "node-1", NOW - timedelta(hours=3), NOW, 4)


@pytest.fixture
def disks(cluster: Cluster) -> DiskCluster:
    """The cluster, with a driver that does not run."""
    return DiskCluster(KubernetesApi(), cluster.namespace)


@pytest.fixture
def name(disks: DiskCluster) -> Iterator[str]:
    """A disk that a PersistentVolume stands for."""
    name = f"Disk-{uuid.uuid4().hex[:8]}"
    wish = {"filesystem": "xfs", "createdBy": "shop"}
    volume = unclaimed(name, "64Mi", disks.namespace, pin=COORDINATOR, wish=wish)
    disks.api.create(VOLUMES, volume.manifest())
    yield name
    disks.api.delete(volume_path(name))


def facts(disks: DiskCluster, name: str, figures: Figures) -> DiskFacts:
    (found,) = (one for one in overview.of_all(disks, figures) if one.name == name)
    return found


def test_what_is_known_of_a_disk_comes_from_its_volume_and_its_node(
    disks: DiskCluster, name: str
) -> None:
    told = Figures(disks={name: DiskFigures("node-7", 128 << 20, 4096)})

    found = facts(disks, name, told)

    assert facts(disks, name, Figures()).size == 64 << 20
    assert (found.size, found.used, found.filesystem) == (128 << 20, 4096, "xfs")
    assert (found.node, found.created_by, found.claim, found.holder) == ("node-7", "shop", "", "")
    assert found.state is DiskState.DETACHED


def test_the_state_of_a_disk(disks: DiskCluster, cluster: Cluster, name: str) -> None:
    figures = DiskFigures("node-1", 64 << 20, 0)
    told = Figures(disks={name: figures})

    assert facts(disks, name, Figures()).state is DiskState.PROVISIONING
    assert facts(disks, name, Figures(silent=("node node-1: away",))).state is DiskState.DETACHED
    put(cluster.store(), replace(HELD, disk=name))
    held = facts(disks, name, told)
    assert (held.state, held.holder) == (DiskState.ATTACHED, "shop/db-0")
    damaged = Figures(disks={name: replace(figures, problems=("Corrupted",))})
    assert facts(disks, name, damaged).state is DiskState.ERROR


def run(cluster: Cluster, *words: str) -> "subprocess.CompletedProcess[str]":
    where = ("--driver-namespace", cluster.namespace)
    command = [KUBECTL_MIREN, *words, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_list_without_the_nodes_says_what_is_missing(cluster: Cluster, name: str) -> None:
    done = run(cluster, "disk", "list")

    assert done.returncode == 0
    head, *rows = [line.split() for line in done.stdout.splitlines()]
    assert head == ["NAME", "SIZE", "USED", "FS", "STATE", "HOLDER", "CLAIM", "NODE", "AGE"]
    (row,) = (row for row in rows if row[0] == name)
    assert row[1:8] == ["64Mi", "-", "xfs", "detached", "-", "-", "-"]
    assert f"no node plugin runs in namespace {cluster.namespace}" in done.stderr


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_get_the_same_in_bytes(cluster: Cluster, name: str, form: str) -> None:
    done = run(cluster, "disk", "list", "-o", form)

    parsed = json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)
    (found,) = (one for one in parsed if one["name"] == name)
    assert (found["sizeBytes"], found["usedBytes"], found["state"]) == (64 << 20, None, "detached")


def test_lists_are_narrowed(cluster: Cluster, name: str) -> None:
    assert name in run(cluster, "disk", "list", "-o", "name").stdout.split()
    assert name in run(cluster, "disk", "list", "--state", "detached").stdout
    assert name not in run(cluster, "disk", "list", "--state", "attached").stdout
    assert name not in run(cluster, "disk", "list", "--node", "node-9").stdout


@pytest.fixture
def claimed(disks: DiskCluster, name: str) -> str:
    """The disk, when an app's claim has it; nothing binds claims here, so it is written down."""
    namespace = disks.namespace
    spec = {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "miren-disk",
        "volumeName": object_name(name),
        "resources": {"requests": {"storage": "1Gi"}},
    }
    metadata = {"name": object_name(name), "labels": {"app.kubernetes.io/name": "blog"}}
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    disks.api.create(claims, {"metadata": metadata, "spec": spec})
    disks.api.patch(f"{volume_path(name)}/status", {"status": {"phase": "Bound"}})
    return name


def listed(cluster: Cluster, *words: str) -> list[str]:
    done = run(cluster, "disk", "list", "-o", "name", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_disks_are_found_by_the_labels_of_their_volumes(
    cluster: Cluster, disks: DiskCluster, name: str
) -> None:
    disks.api.patch(volume_path(name), {"metadata": {"labels": {"team": "web"}}})

    assert name in listed(cluster, "-l", "team=web")
    assert name in listed(cluster, "--selector", "team,team!=db")
    assert name not in listed(cluster, "-l", "team=web,team!=web")
    assert name not in listed(cluster, "-l", "!team")
    wrong = run(cluster, "disk", "list", "-l", "team=web=db")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "found '=', expected" in wrong.stderr


def test_disks_are_found_by_what_they_are(cluster: Cluster, name: str) -> None:
    assert name in listed(cluster, "--filesystem", "xfs", "--state", "detached")
    assert name not in listed(cluster, "--filesystem", "ext4")
    assert name in listed(cluster, "--app", "shop")


def test_a_disk_is_the_apps_that_claims_it_whoever_made_it(cluster: Cluster, claimed: str) -> None:
    assert claimed in listed(cluster, "--app", "blog")
    assert claimed not in listed(cluster, "--app", "shop")
    assert claimed in listed(cluster, "-n", cluster.namespace)
    assert claimed not in listed(cluster, "-n", "default")


@contextlib.contextmanager
def watching(cluster: Cluster, *words: str) -> "Iterator[subprocess.Popen[str]]":
    where = ("--driver-namespace", cluster.namespace)
    command = [KUBECTL_MIREN, "disk", "list", "--watch", *words, *where]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]", disk: str) -> str:
    """The next row of a disk; a test that never gets it hangs, and is ended with its stack."""
    assert process.stdout
    return next(line for line in process.stdout if disk in line)


def test_who_watches_sees_a_disk_change_until_ctrl_c(cluster: Cluster, name: str) -> None:
    with watching(cluster) as process:
        assert line_of(process, name).split()[4:6] == ["detached", "-"]
        put(cluster.store(), replace(HELD, disk=name))
        assert line_of(process, name).split()[4:6] == ["attached", "shop/db-0"]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    assert (process.returncode, output) == (130, "")
    assert [line.partition(":")[0] for line in errors.splitlines()] == ["warning"]


def test_programs_that_watch_get_an_object_a_line(cluster: Cluster, name: str) -> None:
    with watching(cluster, "-o", "json", "-l", "app.kubernetes.io/managed-by=miren-csi") as process:
        assert json.loads(line_of(process, name))["state"] == "detached"
        put(cluster.store(), replace(HELD, disk=name))
        assert json.loads(line_of(process, name))["holder"] == "shop/db-0"


def on_terminal(cluster: Cluster, *words: str, **environment: str) -> str:
    """What a command shows on a terminal, with all that steers it."""
    ours, theirs = pty.openpty()
    where = ("--driver-namespace", cluster.namespace)
    around = {**os.environ, "TERM": "xterm", **environment}
    around = {key: value for key, value in around.items() if value}
    process = subprocess.Popen(
        [KUBECTL_MIREN, *words, *where],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=around,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # nobody has it open any more
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait(30) == 0
    return shown.decode()


def test_states_have_colours_on_a_terminal_that_shows_them(cluster: Cluster, name: str) -> None:
    put(cluster.store(), replace(HELD, disk=name))

    coloured = on_terminal(cluster, "disk", "list")

    assert "\x1b[32mattached\x1b[0m   shop/db-0" in coloured
    assert "\x1b[32mattached" in on_terminal(cluster, "disk", "status", name)
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
        shown = on_terminal(cluster, "disk", "list", **plain)
        assert "attached   shop/db-0" in shown
        assert "\x1b" not in shown
    assert "\x1b" not in run(cluster, "disk", "list").stdout


def test_leases_tell_who_has_a_disk_and_who_waits(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    waits = Waiting("shop/db-1", now - timedelta(seconds=90), now, 300.0)
    put(cluster.store(), replace(HELD, disk="pgdata", waiting=(waits,)))
    put(cluster.store(), Lease("cache", renew_time=NOW))

    head, *rows = run(cluster, "disk", "lease", "list").stdout.splitlines()

    assert head.split()[:3] == ["DISK", "STATE", "HOLDER"]
    assert [row.split()[:2] for row in rows] == [["cache", "released"], ["pgdata", "bound"]]
    assert rows[1].split()[2:] == ["shop/db-0", "node-1", "3h", "4", "shop/db-1"]
    for words in (["-d", "pgdata"], ["-s", "db-1"], ["-s", "shop/db-0"], ["--status", "bound"]):
        found = json.loads(run(cluster, "disk", "lease-list", *words, "-o", "json").stdout)
        assert [one["disk"] for one in found] == ["pgdata"]
    assert run(cluster, "disk", "lease", "list", "-o", "name").stdout == "cache\npgdata\n"
    wide = run(cluster, "disk", "lease", "list", "-o", "wide").stdout.splitlines()
    assert wide[0].split()[-3:] == ["ACQUIRED", "RENEWED", "ACCESS"]
    acquired = (NOW - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert wide[2].split()[-3::2] == [acquired, "read-write"]
    status = run(cluster, "disk", "lease-status", "-i", "pgdata").stdout
    assert "holder       shop/db-0 on node-1, since 3h ago" in status
    assert re.search(r"waiting      shop/db-1, since \w+ ago \(.+\), up to 5m", status)


def test_a_disk_is_told_of_while_no_driver_runs(cluster: Cluster, name: str) -> None:
    put(cluster.store(), replace(HELD, disk=name))

    done = run(cluster, "disk", "status", name)

    assert (done.returncode, done.stderr) == (0, "")
    assert "state        attached" in done.stdout
    assert "Snapshots\n  not known\n" in done.stdout
    told = done.stdout.partition("What to do\n")[2]
    assert f"no node plugin runs in namespace {cluster.namespace}" in told
    assert "its snapshots: no controller of the driver is ready" in told
    assert "Pod shop/db-0 is gone" in told
    assert f"kubectl miren disk lease release {name}" in told


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["disk", "status"], 2, "name exactly one"),
        (["disk", "status", "a", "-i", "b"], 2, "name exactly one"),
        (["disk", "create", "a", "-s", "0"], 2, "size"),
        (["disk", "create", "a", "-s", "lots"], 2, 'size "lots" is no size'),
        (["disk", "create", "a", "-f", "fat"], 2, "invalid choice: 'fat'"),
        (["disk", "create", "a"], 1, "no node has the label disk.miren.dev/coordinator=true"),
        (["disk", "resize", "a", "1"], 1, "no controller of the driver is ready in namespace"),
        (["disk", "snapshot", "restore", "a"], 2, "--as"),
        (["disk", "mounts", "a"], 1, 'disk "a" does not exist'),
        (["disk", "lease", "status", "a"], 1, 'disk "a" does not exist'),
        (["disk", "list", "--context", "nowhere"], 2, "no way to the Kubernetes API"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    cluster: Cluster, words: list[str], status: int, said: str
) -> None:
    done = run(cluster, *words)

    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_nearly_right_is_suggested(cluster: Cluster, name: str) -> None:
    done = run(cluster, "disk", "status", f"{name[:-1]}")

    assert done.returncode == 1
    assert f'disk "{name[:-1]}" does not exist; did you mean {name}' in done.stderr
