"""A driver whose leases are objects of a real Kubernetes API server."""

from pathlib import Path

import grpc
import pytest

from tests.cluster.api_server import ApiServer, Cluster, driver_namespace
from tests.life.app import Instance, Operator, refused
from tests.life.conftest import Drivers

pytestmark = pytest.mark.loop_only  # leases are the same on every pool


@pytest.fixture
def system(api_server: ApiServer, cluster: Cluster) -> Cluster:  # noqa: ARG001 - sets KUBECONFIG
    """The driver's own namespace."""
    return driver_namespace(api_server)


def test_a_disk_is_held_released_and_kept_through_an_outage(
    drivers: Drivers, system: Cluster, api_server: ApiServer, tmp_path: Path
) -> None:
    apps = Cluster(api_server, "default")
    for pod in ("db-0", "db-1"):
        apps.pod(pod)
    driver = drivers("--leases", "kubernetes").start()
    Operator(driver).create("pgdata")
    db = Instance(driver, tmp_path, "pgdata")
    rival = Instance(driver, tmp_path, "pgdata", pod="db-1")
    db.deploy()
    assert system.get("pgdata")["spec"]["holderIdentity"] == "default/db-0"
    with refused(grpc.StatusCode.ABORTED, "held by default/db-0", "waiting up to 5m"):
        rival.attach()

    api_server.kill()
    try:
        db.write(b"goes on")
        with refused(grpc.StatusCode.UNAVAILABLE, "Kubernetes API server", "cannot be reached"):
            rival.attach()
    finally:
        api_server.start()
    driver.kill()
    driver.start()

    with refused(grpc.StatusCode.ABORTED, "held by default/db-0"):
        rival.attach()
    db.stop()
    found = system.get("pgdata")
    assert "holderIdentity" not in found["spec"]
    assert found["metadata"]["labels"]["disk.miren.dev/state"] == "pending"
    rival.deploy()
    assert rival.read(100) == b"goes on"
    spec = system.get("pgdata")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("default/db-1", 1)
