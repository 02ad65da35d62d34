"""A cluster is lost: a database's disk comes back in another one, which shares only the backups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.apps import Apps, new_namespace
from tests.cluster.cluster import Cluster
from tests.cluster.database import DATABASE, Client, deployed
from tests.cluster.developer import Developer
from tests.cluster.driver import Driver
from tests.cluster.programs import KUBECTL_MIREN
from tests.cluster.s3_server import KEY, S3Server
from tests.cluster.snapshots import install_snapshots
from tests.lvm.vm import usable_cpus

DISK = "myapp-postgres"
OPENS = {"RESTIC_PASSWORD": "correct horse", **KEY}


class Place:
    """A cluster, and the S3 server with all backups, as it is reached from there."""

    def __init__(self, kubernetes: Cluster, folder: Path, files: Path) -> None:
        self.kubernetes = kubernetes
        self.files = files
        self.s3 = S3Server(folder, kubernetes.network).start()

    def types(self, *words: str) -> str:
        """kubectl miren disk, which has to work; returns what it prints."""
        done = self.kubernetes.run(KUBECTL_MIREN, "disk", *words, environment=OPENS, within=300)
        print(f"$ kubectl miren disk {' '.join(words)}\n{done.stderr}{done.stdout}", end="")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def here(kubernetes: Cluster, driver: Driver, tmp_path: Path) -> Iterator[Place]:  # noqa: ARG001
    kubernetes.load(images.postgresql())
    (tmp_path / "s3").mkdir()
    place = Place(kubernetes, tmp_path / "s3", tmp_path / "here")
    yield place
    place.s3.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Place]:
    """Another cluster with the driver."""
    with Cluster(tmp_path / "elsewhere", usable_cpus()) as kubernetes:
        kubernetes.up(archives=[images.driver(), images.postgresql()])
        install_snapshots(kubernetes)
        (tmp_path / "there").mkdir()
        Driver(kubernetes, tmp_path / "there").install(kubernetes.nodes[0], "lvm")
        place = Place(kubernetes, tmp_path / "s3", tmp_path / "there")
        yield place
        place.s3.close()


@pytest.fixture
def client(here: Place, apps: Apps) -> Iterator[Client]:
    """A client of the database here, which writes all the while."""
    developer = Developer(here.kubernetes, apps, here.files)
    with deployed(developer) as client:
        yield client
    developer.runs("undeploy", developer.app)


def test_no_row_that_was_there_before_the_backup_is_missing_elsewhere(
    client: Client, here: Place, elsewhere: Place
) -> None:
    repository = here.s3.bucket("backups")
    written = client.acknowledged
    here.types("backup", DISK, "--to", repository)
    client.goes_on()
    client.close()

    elsewhere.types("backup", "list", repository)
    elsewhere.types("restore", repository, "--disk", DISK)
    with new_namespace(elsewhere.kubernetes) as namespace:
        apps = Apps(elsewhere.kubernetes, namespace)
        developer = Developer(elsewhere.kubernetes, apps, elsewhere.files / "app")
        developer.app = client.developer.app
        developer.writes(*DATABASE)
        developer.deploys()

        restored = Client(developer)
        restored.is_ready()
        restored.finds(written)
        restored.checks()
        assert restored.asks("INSERT INTO sales VALUES (0, 0);") == "INSERT 0 1\n"
        developer.runs("undeploy", developer.app)
