"""A real database, deployed from the app.toml of the users' own document, through bad days."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images
from tests.cluster.apps import Apps
from tests.cluster.cluster import Cluster
from tests.cluster.developer import Developer
from tests.cluster.driver import Driver
from tests.cluster.kills import Victim
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

ROWS = 50
"""In each transaction."""
DATABASE = [
    "[services.db]",
    'image = "postgres:16"',
    "[[services.db.env]]",
    'key = "POSTGRES_PASSWORD"',
    'value = "secret"',
    "[[services.db.env]]",
    'key = "PGDATA"',
    'value = "/var/lib/postgresql/data/pgdata"',
    "[[services.db.disks]]",
    'name = "myapp-postgres"',
    'mount_path = "/var/lib/postgresql/data"',
    "size_gb = 20",
]
OTHER_COMMAND = 'command = "docker-entrypoint.sh postgres -c work_mem=8MB"'


class Client(threading.Thread):
    """Inserts rows all the time, and remembers which transactions were acknowledged."""

    def __init__(self, developer: Developer) -> None:
        super().__init__(daemon=True)
        self.developer = developer
        self._acknowledged: set[int] = set()
        self._ended = threading.Event()

    def asks(self, statement: str) -> str:
        """What the database answers, as text; raises KubectlError when it does not."""
        # Its pod may be any: quoting is left to base64.
        text = base64.b64encode(statement.encode()).decode()
        psql = "psql -h localhost -U postgres -v ON_ERROR_STOP=1 -tA"
        return self.developer.in_pod(
            "db", f"echo {text} | base64 -d | PGPASSWORD=secret PGCONNECT_TIMEOUT=5 {psql}"
        )

    def run(self) -> None:
        number = 0
        while not self._ended.wait(0.2):
            number += 1
            rows = f"SELECT {number}, row FROM generate_series(1, {ROWS}) AS row"
            try:
                # Its own words: kubectl exec is content when its connection is lost.
                acknowledged = self.asks(f"INSERT INTO sales {rows};") == f"INSERT 0 {ROWS}\n"
            except KubectlError:  # it may have been committed even so
                continue
            if acknowledged:
                self._acknowledged.add(number)

    def goes_on(self) -> None:
        """Wait until more transactions are acknowledged."""
        before = len(self._acknowledged)
        wait_until(lambda: len(self._acknowledged) > before + 1, "it answers again", within=150)

    def finds_all(self) -> None:
        """Every acknowledged transaction is there, and each that is there is whole."""
        acknowledged = {*self._acknowledged}  # first: it goes on
        lines = self.asks("SELECT sale, count(*) FROM sales GROUP BY sale;").split()
        counts = {int(sale): int(count) for sale, count in (line.split("|") for line in lines)}
        assert acknowledged - counts.keys() == set()
        assert {*counts.values()} == {ROWS}

    def close(self) -> None:
        self._ended.set()
        self.join(timeout=90)


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
    developer.writes(*DATABASE)
    developer.deploys()
    client = Client(developer)
    # Ready means no more than that the container runs: it has no port in app.toml.
    wait_until(lambda: _answers(client), "the database answers", within=120)
    client.asks("CREATE TABLE sales (sale integer, row integer, PRIMARY KEY (sale, row));")
    client.start()
    client.goes_on()
    yield client
    client.close()


def _answers(client: Client) -> bool:
    try:
        return client.asks("SELECT 1;") == "1\n"
    except KubectlError:
        return False


def test_no_acknowledged_row_is_ever_lost(
    client: Client, driver: Driver, node: Node, kubernetes: Cluster
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

    node.run("pkill -KILL postgres")
    client.goes_on()
    client.finds_all()

    plugin = Victim(driver, node, "node", "driver")
    plugin.kill()
    client.goes_on()
    plugin.comes_back()

    node.cut_power()
    kubernetes.boot(node)
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
    developer.in_pod(
        "db", "pg_amcheck -h /var/run/postgresql -U postgres --install-missing postgres"
    )
