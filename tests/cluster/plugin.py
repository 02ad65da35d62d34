"""Runs the tests that want a cluster on several clusters, beside the others.

A cluster mostly waits, for kubelet's next look and the like, so that some take hardly longer than
one. For each kind of pool another pytest runs these tests, that with VMs as soon as no other VM is
at work; they remain items of this one, which hands their reports on as its own.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.ahead import Ahead
from tests.cluster.beside import RunBeside
from tests.cluster.cluster import Pool

_HERE = Path(__file__).resolve().parent


class ClustersPlugin:
    """Takes the tests over that want a cluster, when they are of several modules."""

    def __init__(self, most: int, must_wait: Callable[[], bool]) -> None:
        """Make it.

        Args:
            most: the number of clusters of each kind, at most.
            must_wait: whether other VMs need the processors yet.
        """
        self._most = most
        self._must_wait = must_wait
        self._there: dict[pytest.Item, Pool] = {}
        self._runs: dict[Pool, RunBeside] = {}
        self._ahead: Ahead | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tests of clusters come last: their results are there when the others are done."""
        wanting = [item for item in items if _wants_cluster(item)]
        tests = Counter(item.path for item in wanting)
        with_driver = {item.path for item in wanting if _wants(item, "driver")}
        # Those whose cluster is to have no driver first. Then large modules, so that all clusters
        # are done at about the same time.
        wanting.sort(key=lambda item: (_pool_of(item), item.path in with_driver, -tests[item.path]))
        items[:] = [*(item for item in items if not _wants_cluster(item)), *wanting]
        # What a module has on one pool stays on one cluster.
        if self._most > 1 and len({item.path for item in wanting}) > 1:
            self._there = {item: _pool_of(item) for item in wanting}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        wanted = any(_wants(item, "driver_image") for item in self._there)
        if wanted and not session.config.option.collectonly:
            self._ahead = Ahead()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        pool = self._there.get(item)
        self._begin(Pool.LOOP, item.config)
        if pool is Pool.LVM or not self._must_wait():
            self._begin(Pool.LVM, item.config)
        if pool is None:
            return None
        self._runs[pool].hand_on(item, item.nodeid)
        return True

    def _begin(self, pool: Pool, config: pytest.Config) -> None:
        if pool in self._runs or pool not in self._there.values():
            return
        items = [item for item, its_pool in self._there.items() if its_pool is pool]
        clusters = min(self._most, len({item.path for item in items}))
        tests = [item.nodeid for item in items]
        self._runs[pool] = RunBeside(config, tests, clusters=clusters)

    def pytest_unconfigure(self) -> None:
        for run in self._runs.values():
            run.close()
        if self._ahead is not None:
            self._ahead.close()


def _pool_of(item: pytest.Item) -> Pool:
    assert isinstance(item, pytest.Function)
    return Pool(str(item.callspec.params["cluster_pool"]))


def _wants_cluster(item: pytest.Item) -> bool:
    """Whether a test runs in a cluster with nodes."""
    return _HERE in item.path.parents and _wants(item, "kubernetes")


def _wants(item: pytest.Item, fixture: str) -> bool:
    return fixture in getattr(item, "fixturenames", ())
