"""A real PostgreSQL from the app.toml of the users' own document, and a client that counts."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.developer import Developer
from tests.cluster.kubectl import KubectlError
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

    def _is_answered(self) -> bool:
        try:
            return self.asks("SELECT 1;") == "1\n"
        except KubectlError:
            return False

    def is_ready(self) -> None:
        """Wait until the database answers."""
        # Ready means no more than that the container runs: it has no port in app.toml.
        wait_until(self._is_answered, "the database answers", within=120)

    def begins(self) -> None:
        """Make the table, as soon as there is a database, and go on from there."""
        self.is_ready()
        self.asks("CREATE TABLE sales (sale integer, row integer, PRIMARY KEY (sale, row));")
        self.start()
        self.goes_on()

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

    @property
    def acknowledged(self) -> set[int]:
        """The transactions that were acknowledged until now."""
        return {*self._acknowledged}

    def finds_all(self) -> None:
        """Every acknowledged transaction is there, and each that is there is whole."""
        self.finds(self.acknowledged)

    def finds(self, acknowledged: set[int]) -> None:
        """These transactions are there, and each that is there is whole."""
        lines = self.asks("SELECT sale, count(*) FROM sales GROUP BY sale;").split()
        counts = {int(sale): int(count) for sale, count in (line.split("|") for line in lines)}
        assert acknowledged - counts.keys() == set()
        assert {*counts.values()} == {ROWS}

    def checks(self) -> None:
        """PostgreSQL's own check of tables and indexes finds nothing wrong."""
        words = "-h /var/run/postgresql -U postgres --install-missing postgres"
        self.developer.in_pod("db", f"pg_amcheck {words}")

    def close(self) -> None:
        """End it, if it has begun."""
        self._ended.set()
        if self.ident is not None:
            self.join(timeout=90)


@contextmanager
def deployed(developer: Developer) -> Iterator[Client]:
    """Deploy the database, and yield a client that writes to it all the while."""
    developer.writes(*DATABASE)
    developer.deploys()
    client = Client(developer)
    client.begins()
    yield client
    client.close()
