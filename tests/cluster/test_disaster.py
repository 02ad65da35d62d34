"""A cluster is lost: a database's disk comes back in another one, which shares only the backups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.database import Client
from tests.cluster.developer import Developer
from tests.cluster.driver import Driver
from tests.cluster.s3_server import KEY, S3Server
from tests.cluster.snapshots import install_snapshots
from tests.cluster.transcript import README, Reader, transcripts_in
from tests.lvm.vm import ROOT, usable_cpus

_BACKUP = ROOT / "docs" / "backup.md"
_ADDRESS = "s3:https://s3.example/bucket"


class Place:
    """A cluster, somebody there, and the S3 server that he reaches."""

    def __init__(self, kubernetes: Cluster, shared: Path, files: Path) -> None:
        """Args: shared: the S3 server's data; files: an empty folder for the reader."""
        self._s3 = S3Server(shared, kubernetes.network).start()
        developer = Developer(kubernetes, Apps(kubernetes, "default"), files)
        developer.app = "shop"
        self.client = Client(developer)
        (files / "backup-password").write_text("correct horse")
        self.reader = Reader(
            kubernetes,
            files,
            environment={"RESTIC_PASSWORD_FILE": str(files / "backup-password"), **KEY},
            address=(_ADDRESS, self._s3.bucket("bucket")),
        )

    def close(self) -> None:
        self.client.close()
        self._s3.close()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """All that both clusters have in common: what the S3 server keeps."""
    return tmp_path / "s3"


@pytest.fixture
def here(kubernetes: Cluster, driver: Driver, shared: Path, tmp_path: Path) -> Iterator[Place]:  # noqa: ARG001
    """A cluster with README's app, and a client of its database, which writes all the while."""
    kubernetes.load(images.postgresql())
    place = Place(kubernetes, shared, tmp_path / "here")
    (first_app,) = transcripts_in(README, "Deploy your first app")
    deploys, orders = first_app[:2]
    place.reader.types(deploys.command)
    place.reader.types(orders.command)
    place.client.begins()
    yield place
    place.close()
    place.reader.types("kubectl miren undeploy shop; kubectl miren disk delete shopdata --yes\n")


@pytest.fixture
def elsewhere(cluster_pool: Pool, shared: Path, tmp_path: Path) -> Iterator[Place]:
    """Another cluster with the driver."""
    with Cluster(tmp_path / "elsewhere", cluster_pool, usable_cpus()) as kubernetes:
        kubernetes.up(archives=[images.driver(), images.postgresql()])
        install_snapshots(kubernetes)
        (tmp_path / "my-cluster").mkdir()
        Driver(kubernetes, tmp_path / "my-cluster").install(kubernetes.nodes[0])
        place = Place(kubernetes, shared, tmp_path / "there")
        yield place
        place.close()


def test_the_exercise_followed_word_by_word(here: Place, elsewhere: Place) -> None:
    before, after = transcripts_in(_BACKUP, "When everything is lost")
    written = here.client.acknowledged
    for step in before:
        here.reader.sees_alike(step)
    here.client.goes_on()
    here.client.close()

    for step in after:
        elsewhere.reader.sees_alike(step)
    restored = elsewhere.client
    restored.is_ready()
    restored.finds(written)
    restored.checks()
    assert restored.asks("INSERT INTO sales VALUES (0, 0);") == "INSERT 0 1\n"
