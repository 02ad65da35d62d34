"""`kubectl miren disk status` of a real driver, asked by way of a real API server's proxy."""

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.local_driver import LocalDriver
from deploy.operate.disk_cluster import VOLUMES, volume_path
from tests.cluster.api_server import ApiServer, Cluster, driver_namespace
from tests.cluster.programs import KUBECTL_MIREN
from tests.cluster.waiting import wait_until
from tests.life.app import Instance, Operator, refused
from tests.life.host import Host

pytestmark = pytest.mark.loop_only  # what is told of a pool, test_operation.py asks of both

NODE = "status-node"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An address of this machine to which the API server's proxy goes, as it does to a pod's.

    It refuses loopback ones; this is one of those for documentation (RFC 5737).
    """
    address = f"198.51.100.{random.randrange(1, 255)}"
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    yield address
    subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


def plugin_pod(server: ApiServer, cluster: Cluster, name: str, address: str) -> None:
    """The pod of a node plugin; what runs in it is given by its address."""
    cluster.pod(name, node=NODE)
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}"
    labels = {"app.kubernetes.io/name": "miren-csi", "app.kubernetes.io/component": "node"}
    server.request("PATCH", path, {"metadata": {"labels": labels}}, MERGE)
    status = {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}
    server.request("PATCH", f"{path}/status", {"status": status}, MERGE)


def claimed(server: ApiServer, disk: str) -> None:
    """A disk's volume, and the claim that has it; nothing binds them here."""
    volume = unclaimed(disk, "512Mi", "default", pin=COORDINATOR, wish={"filesystem": "ext4"})
    server.request("POST", VOLUMES, volume.manifest())
    spec = {
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": "miren-disk",
        "volumeName": disk,
        "resources": {"requests": {"storage": "512Mi"}},
    }
    made = server.request("POST", CLAIMS, {"metadata": {"name": disk}, "spec": spec})
    bound = {"claimRef": {"uid": made["metadata"]["uid"]}}
    server.request("PATCH", volume_path(disk), {"spec": bound}, MERGE)
    for path in (volume_path(disk), f"{CLAIMS}/{disk}"):
        server.request("PATCH", f"{path}/status", {"status": {"phase": "Bound"}}, MERGE)


@pytest.fixture(scope="module")
def driver(
    tmp_path_factory: pytest.TempPathFactory, api_server: ApiServer, address: str
) -> Iterator[LocalDriver]:
    """A driver that leads in a cluster, whose node plugin is a pod of it."""
    folder = tmp_path_factory.mktemp("status")
    host = Host(folder)
    pool = folder / "pool"
    pool.mkdir()
    own = driver_namespace(api_server)
    apps = Cluster(api_server, "default")
    for pod in ("db-0", "db-1"):
        apps.pod(pod, claim="pgdata", node=NODE)
    for disk in ("pgdata", "ill"):
        claimed(api_server, disk)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    api_server.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}, "status": ready})
    plugin_pod(api_server, own, "node-plugin", address)
    options = ("--leases", "kubernetes", "--http-endpoint", f"{address}:9808")
    driver = LocalDriver(folder, f"loop:{pool}", node_id=NODE, options=options)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(api_server.kubeconfig()))
        driver.start()
    try:
        yield driver
    finally:
        driver.kill()
        print(driver.log.read_text()[-20_000:])
        host.clear()
        api_server.request("DELETE", f"/api/v1/nodes/{NODE}")
        own.delete_pod("node-plugin")
        for pod in ("db-0", "db-1"):
            apps.delete_pod(pod)
        for disk in ("pgdata", "ill"):
            api_server.request("DELETE", f"{CLAIMS}/{disk}")
            api_server.request("DELETE", volume_path(disk))


@pytest.fixture(scope="module")
def place(driver: LocalDriver) -> Path:
    """Where instances are mounted."""
    return driver.folder


@pytest.fixture(scope="module")
def held(driver: LocalDriver, place: Path) -> Iterator[Instance]:
    """A disk that db-0 has, with some data, and for which db-1 waits."""
    Operator(driver).create("pgdata")
    db = Instance(driver, place, "pgdata", pod="db-0").deploy()
    db.write(os.urandom(8 << 20))
    with refused(grpc.StatusCode.ABORTED, "held by default/db-0"):
        Instance(driver, place, "pgdata", pod="db-1").attach()
    yield db
    db.stop()


def run(server: ApiServer, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig())}
    command = [KUBECTL_MIREN, *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def status(server: ApiServer, disk: str) -> str:
    """What `disk status` says."""
    done = run(server, "disk", "status", disk)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_disk_in_use_is_told_of_as_its_node_has_it(
    api_server: ApiServer, held: Instance, driver: LocalDriver
) -> None:
    def is_known() -> bool:
        told = status(api_server, "pgdata")
        return "condition    healthy" in told and "DiskHeld" in told

    wait_until(is_known, "the node has looked at the disk, and the controller", within=90)
    told = status(api_server, "pgdata")

    assert "state        attached\n" in told
    assert f"kept in      {driver.folder}/pool/disks/disk-pgdata" in told
    assert "% of the pool's " in told
    assert "filesystem   ext4, " in told
    assert "% full, " in told
    assert f"node         {NODE}" in told
    mounts = told.partition("Mounts\n")[2]
    assert "on the node: ext4, rw" in mounts
    assert "device: /dev/loop" in mounts
    events = told.partition("Events\n")[2].partition("\n\n")[0]
    assert 'pod default/db-1  DiskHeld: disk "pgdata" is held by default/db-0' in events
    assert "default/db-1 waits for the disk" in told.partition("What to do\n")[2]
    facts = json.loads(run(api_server, "disk", "status", "pgdata", "-o", "json").stdout)
    assert 0 < facts["poolShare"] < 1
    assert facts["filesystemBytes"] - facts["filesystemFreeBytes"] > 8 << 20
    assert str(held.target) in {one["path"] for one in facts["nodeMounts"]}
    (event,) = (one for one in facts["events"] if one["reason"] == "DiskHeld")
    assert (event["type"], event["about"]) == ("Warning", "pod default/db-1")


def test_what_is_wrong_is_told_in_sentences_with_what_to_do(
    api_server: ApiServer, driver: LocalDriver, place: Path
) -> None:
    Operator(driver).create("ill", filesystem="xfs")
    ill = Instance(driver, place, "ill", pod="db-0", filesystem="xfs").deploy()
    subprocess.run(["xfs_io", "-x", "-c", "shutdown", ill.target], check=True)

    def told() -> str:
        return status(api_server, "ill")

    wait_until(lambda: "state        error" in told(), "the node has seen it", within=90, every=2)
    said = told()
    shut_down = "condition    FilesystemShutDown: the filesystem does not answer: "
    assert shut_down in said
    assert "FilesystemShutDown: restart what uses it" in said.partition("What to do\n")[2]
    ill.stop()


def test_a_pool_that_was_just_started_has_no_forecast(
    api_server: ApiServer,
    driver: LocalDriver,  # noqa: ARG001 - whose pool it is
) -> None:
    done = run(api_server, "pool", "--check", "-o", "json")

    assert (done.returncode, done.stderr) == (0, "")
    (pool,) = json.loads(done.stdout)
    assert (pool["node"], pool["forecast"], pool["growth"]) == (NODE, "not known yet", None)
    shown = run(api_server, "pool").stdout.splitlines()
    assert re.split(" {2,}", shown[1])[-2:] == ["not known yet", "ok"]


def test_a_node_that_is_away_is_told_of(
    api_server: ApiServer,
    held: Instance,  # noqa: ARG001 - the disk
) -> None:
    path = f"/api/v1/nodes/{NODE}/status"

    def set_ready(is_so: str) -> None:
        conditions = [{"type": "Ready", "status": is_so}]
        api_server.request("PATCH", path, {"status": {"conditions": conditions}}, MERGE)

    set_ready("False")
    try:
        assert f"Node {NODE} is not ready" in status(api_server, "pgdata")
    finally:
        set_ready("True")
    assert "is not ready" not in status(api_server, "pgdata")
