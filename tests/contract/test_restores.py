"""When a restore does not begin: objects in a real API server, and a driver that has one disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.lease import Lease
from csi import TOPOLOGY_KEY
from csi.errors import DiskError, Incompatible, InvalidRequest, NotFound, Refused
from csi.kubernetes_api import KubernetesApi, Object
from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.main import parser
from deploy.mover.about import About
from deploy.mover.archive import Writer
from deploy.operate import restoring
from deploy.operate.disk_cluster import VOLUMES, DiskCluster, claim_path, volume_path
from deploy.operate.driver import CallFailed, Driver
from tests.cluster.api_server import Cluster
from tests.cluster.programs import go_program
from tests.contract.leases import put

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

NOW = datetime.now(UTC)
HELD = Lease("", "shop/db-0", "node-1", NOW, NOW, 1)


class OneDisk(Driver):
    """A driver that has one disk. A fake: without nodes no real one runs."""

    def control(self, method: str, **request: Any) -> Object:
        assert method == "ControllerGetVolume", f"{method} changes something"
        name = request["volume_id"]
        if not name.startswith("there-"):
            raise CallFailed("NOT_FOUND", f'disk "{name}" does not exist')
        topology = [{"segments": {TOPOLOGY_KEY: "node-1"}}]
        volume = {"volume_id": name, "capacity_bytes": "4096", "accessible_topology": topology}
        return {"volume": volume}


@dataclass(frozen=True, slots=True)
class Disks(DiskCluster):
    @property
    def driver(self) -> Driver:
        return OneDisk(self.api, self.namespace)


class Operator:
    """Somebody with a backup in a file."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.disk = f"there-{cluster.namespace}"
        self.cluster = Disks(KubernetesApi(), cluster.namespace)
        self.file = folder / "backup.miren"
        with self.file.open("wb") as file:
            Writer(file, About(self.disk, 64 << 20, "filesystem", "ext4")).finish()

    def is_refused(self, *words: str) -> DiskError:
        """kubectl miren disk restore FILE, which must not begin."""
        namespace = ("--driver-namespace", self.cluster.namespace)
        asked = parser().parse_args(["disk", "restore", str(self.file), *words, *namespace])
        with pytest.raises(DiskError) as refusal:
            restoring.restore(self.cluster, asked)
        jobs = self.cluster.api.list(f"/apis/batch/v1/namespaces/{self.cluster.namespace}/jobs")
        assert jobs == []
        return refusal.value


@pytest.fixture
def operator(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    (tmp_path / "kubectl").symlink_to(go_program("kubectl"))
    monkeypatch.setenv("PATH", str(tmp_path))
    operator = Operator(cluster, tmp_path)
    api, namespace = operator.cluster.api, operator.cluster.namespace
    volume = unclaimed(operator.disk, "64Mi", namespace, pin=COORDINATOR, wish={}).manifest()
    api.create(VOLUMES, volume)
    yield operator
    api.delete(volume_path(operator.disk))


def test_a_disk_that_exists_is_not_overwritten(operator: Operator) -> None:
    refusal = operator.is_refused()

    assert isinstance(refusal, Incompatible)
    assert "--as" in str(refusal)


def test_a_disk_that_somebody_holds_is_not_replaced(operator: Operator, cluster: Cluster) -> None:
    put(cluster.store(), replace(HELD, disk=operator.disk))

    refusal = operator.is_refused("--replace", "--yes")

    assert isinstance(refusal, Refused)
    assert "is held by shop/db-0" in str(refusal)


def test_a_disk_that_a_claim_has_is_not_replaced(operator: Operator) -> None:
    claim = {"metadata": {"name": operator.disk}, "spec": {"accessModes": ["ReadWriteOncePod"]}}
    claim["spec"]["resources"] = {"requests": {"storage": "64Mi"}}  # type: ignore[index]
    namespace = operator.cluster.namespace
    operator.cluster.api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)
    (volume,) = operator.cluster.volumes(operator.disk)
    assert volume.claim is not None

    refusal = operator.is_refused("--replace", "--yes")

    assert f"kubectl delete pvc -n {namespace} {operator.disk}" in str(refusal)
    operator.cluster.api.delete(claim_path(volume.claim))


def test_nobody_is_asked_where_nobody_can_answer(operator: Operator) -> None:
    assert "--yes" in str(operator.is_refused("--replace"))


@pytest.mark.parametrize(
    ("words", "kind", "why"),
    [
        (("--as", "new", "--disk", "other"), NotFound, "is a backup of disk"),
        (("--as", "new", "--backup", "1a2b3c4d"), InvalidRequest, "with a repository"),
        (("--as", "new", "--secret", "nightly"), InvalidRequest, "with a repository"),
    ],
)
def test_what_does_not_go_with_a_file_is_told(
    operator: Operator, words: tuple[str, ...], kind: type[DiskError], why: str
) -> None:
    refusal = operator.is_refused(*words)

    assert isinstance(refusal, kind)
    assert why in str(refusal)


def test_what_is_no_backup_is_not_restored(operator: Operator) -> None:
    operator.file.write_bytes(b"something else")
    assert "no backup" in str(operator.is_refused("--as", "new"))
    operator.file.unlink()
    assert "cannot be read" in str(operator.is_refused("--as", "new"))
