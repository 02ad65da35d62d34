"""Runs the tests that want a cluster on several clusters, beside the others.

A cluster mostly waits, for kubelet's next look and the like, so that some take hardly longer than
one. Another pytest runs these tests, which starts as soon as no VM with real LVM is at work; they
remain items of this one, which hands their reports on as its own.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.ahead import Ahead
from tests.cluster.beside import RunBeside

_HERE = Path(__file__).resolve().parent


class ClustersPlugin:
    """Takes the tests over that want a cluster, when they are of several modules."""

    def __init__(self, most: int, must_wait: Callable[[], bool]) -> None:
        """Make it.

        Args:
            most: the number of clusters, at most.
            must_wait: whether others need the processors yet.
        """
        self._most = most
        self._must_wait = must_wait
        self._there: dict[pytest.Item, None] = {}
        self._clusters = 1
        self._run: RunBeside | None = None
        self._ahead: Ahead | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tests of clusters come last: their results are there when the others are done."""
        tests = Counter(item.path for item in items if _wants_cluster(item))
        # Large modules first, so that all clusters are done at about the same time.
        items.sort(key=lambda item: (_wants_cluster(item), -tests[item.path]))
        wanting = [item for item in items if _wants_cluster(item)]
        # Each module stays on one cluster.
        self._clusters = min(self._most, len({item.path for item in wanting}))
        if self._clusters > 1:
            self._there = dict.fromkeys(wanting)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        wanted = any("driver_image" in getattr(item, "fixturenames", ()) for item in self._there)
        if wanted and not session.config.option.collectonly:
            self._ahead = Ahead()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self._there and self._run is None and (item in self._there or not self._must_wait()):
            tests = [one.nodeid for one in self._there]
            self._run = RunBeside(item.config, tests, clusters=self._clusters)
        if item not in self._there:
            return None
        assert self._run is not None
        self._run.hand_on(item, item.nodeid)
        return True

    def pytest_unconfigure(self) -> None:
        if self._run is not None:
            self._run.close()
        if self._ahead is not None:
            self._ahead.close()


def _wants_cluster(item: pytest.Item) -> bool:
    """Whether a test runs in a cluster with nodes."""
    return _HERE in item.path.parents and "kubernetes" in getattr(item, "fixturenames", ())
