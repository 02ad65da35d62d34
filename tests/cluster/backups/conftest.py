"""Somebody who backs disks up, an S3 server, and an app that writes meanwhile."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.backups.keeper import OPENS, Keeper
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.programs import folder_with
from tests.cluster.s3_server import S3Server
from tests.cluster.waiting import wait_until
from tests.cluster.writer import Writer, a_writer


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
def secret(driver: Driver) -> Iterator[str]:
    """What opens repositories, in the driver's namespace."""
    name = f"nightly-{uuid.uuid4().hex[:6]}"
    words = [f"--from-literal={key}={value}" for key, value in OPENS.items()]
    driver.kubectl("create", "secret", "generic", name, *words)
    yield name
    driver.kubectl("delete", "secret", name)


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
