"""A real database, deployed from the app.toml of the users' own document, through bad days."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster
from tests.cluster.database import DATABASE, Client, deployed
from tests.cluster.developer import Developer
from tests.cluster.driver import Driver
from tests.cluster.kills import Victim
from tests.cluster.vm_node import VmNode

pytestmark = pytest.mark.pools("lvm")

OTHER_COMMAND = 'command = "docker-entrypoint.sh postgres -c work_mem=8MB"'


@pytest.fixture
def developer(
    kubernetes: Cluster,
    apps: Apps,
    tmp_path: Path,
    driver: Driver,  # noqa: ARG001 - the app's disks are its
) -> Iterator[Developer]:
    kubernetes.load(images.postgresql())
    developer = Developer(kubernetes, apps, tmp_path)
    yield developer
    developer.runs("undeploy", developer.app)


@pytest.fixture
def client(developer: Developer) -> Iterator[Client]:
    """A client of the database, which has just been deployed."""
    with deployed(developer) as client:
        yield client


def test_no_acknowledged_row_is_ever_lost(
    client: Client, driver: Driver, vm_node: VmNode, kubernetes: Cluster
) -> None:
    developer = client.developer
    apps = developer.apps

    developer.writes(*DATABASE[:2], OTHER_COMMAND, *DATABASE[2:])
    developer.deploys()
    client.goes_on()
    assert client.asks("SHOW work_mem;") == "8MB\n"
    client.finds_all()

    label = f"app.kubernetes.io/name={developer.app},app.kubernetes.io/component=db"
    apps.kubectl("delete", "pod", "--grace-period=0", "--force", "--selector", label)
    client.goes_on()
    client.finds_all()

    vm_node.run("pkill -KILL postgres")
    client.goes_on()
    client.finds_all()

    plugin = Victim(driver, vm_node, "node", "driver")
    plugin.kill()
    client.goes_on()
    plugin.comes_back()

    vm_node.cut_power()
    kubernetes.boot(vm_node)
    client.goes_on()
    client.finds_all()

    assert developer.runs("undeploy", developer.app).returncode == 0
    developer.deploys()
    client.goes_on()
    client.finds_all()

    first, developer.app = developer.app, f"{developer.app}two"
    assert developer.runs("undeploy", first).returncode == 0
    developer.writes(*DATABASE)
    developer.deploys()
    client.goes_on()
    client.finds_all()
    assert client.asks("SHOW work_mem;") == "4MB\n"
    client.close()
    client.checks()
