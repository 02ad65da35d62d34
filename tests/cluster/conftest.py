"""The real clusters that the tests of this folder share, one for each kind of pool."""

from collections import deque
from collections.abc import Generator, Iterator

import pytest

from tests.cluster import images
from tests.cluster.apps import Apps, new_namespace
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.snapshots import install_snapshots
from tests.cluster.vm_node import VmNode
from tests.lvm.vm import usable_cpus


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what wants a cluster on loop files, unless it is marked: `pytest.mark.pools("lvm")`."""
    if "cluster_pool" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker("pools")
        pools = marked.args if marked else [Pool.LOOP]
        metafunc.parametrize("cluster_pool", pools, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the driver has logged meanwhile."""
    report = yield
    driver = getattr(item, "funcargs", {}).get("driver")
    if report.failed and isinstance(driver, Driver):
        report.sections.append(("Logs of the driver", driver.last_words()))
    return report


@pytest.fixture(scope="session")
def cluster_pool(request: pytest.FixtureRequest) -> Pool:
    """What the nodes of the cluster have for disks."""
    return Pool(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants a cluster without the driver comes before that is installed."""
    items.sort(key=lambda item: _wants(item, "kubernetes", "driver"))


def _wants(item: pytest.Item, *fixtures: str) -> bool:
    return {*fixtures} <= {*getattr(item, "fixturenames", ())}


@pytest.fixture(scope="session")
def kubernetes(
    request: pytest.FixtureRequest,
    cluster_pool: Pool,
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
) -> Iterator[Cluster]:
    """A cluster with one node. Tests leave it as they find it: nodes on, the API server up."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    cpus = deque(usable_cpus())
    cpus.rotate(number)
    wants_driver = any(_wants(item, "driver_image") for item in request.session.items)
    archives = [images.driver()] if wants_driver else []
    with Cluster(tmp_path_factory.mktemp("kubernetes"), cluster_pool, cpus) as cluster:
        yield cluster.up(archives=archives)


@pytest.fixture(scope="session")
def node(kubernetes: Cluster) -> Node:
    """The cluster's first node."""
    return kubernetes.nodes[0]


@pytest.fixture(scope="session")
def vm_node(node: Node) -> VmNode:
    """The same, of a cluster with LVM."""
    assert isinstance(node, VmNode)
    return node


@pytest.fixture(scope="session")
def _one_more_node(kubernetes: Cluster) -> Node:
    return kubernetes.add_node()


@pytest.fixture
def second_node(kubernetes: Cluster, _one_more_node: Node) -> Iterator[Node]:
    """One more node. Only the tests that ask for it have pods there."""
    kubernetes.kubectl("uncordon", _one_more_node.name)
    yield _one_more_node
    kubernetes.kubectl("cordon", _one_more_node.name)


@pytest.fixture(scope="session")
def driver_image(kubernetes: Cluster) -> str:  # noqa: ARG001 - which brings it
    """The name of the driver's image, which all nodes have, built from the Dockerfile."""
    return images.DRIVER


@pytest.fixture(scope="session")
def snapshots(kubernetes: Cluster) -> None:
    """The cluster has the snapshot CRDs and snapshot-controller."""
    install_snapshots(kubernetes)


@pytest.fixture(scope="session")
def driver(
    kubernetes: Cluster,
    node: Node,
    driver_image: str,  # noqa: ARG001 - the nodes have it
    snapshots: None,  # noqa: ARG001 - installed
    tmp_path_factory: pytest.TempPathFactory,
) -> Driver:
    """The driver, installed on the pool of the first node."""
    driver = Driver(kubernetes, tmp_path_factory.mktemp("my-cluster"))
    driver.install(node)
    return driver


@pytest.fixture
def apps(kubernetes: Cluster, namespace: str) -> Apps:
    """A user's view of a namespace of its own."""
    return Apps(kubernetes, namespace)


@pytest.fixture
def namespace(kubernetes: Cluster) -> Iterator[str]:
    """A namespace of its own for a test."""
    with new_namespace(kubernetes) as name:
        yield name
