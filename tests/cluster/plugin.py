"""Runs the tests marked `second` on a second cluster, beside the others on the first.

A cluster mostly waits, for kubelet's next look and the like, so two of them take hardly longer
than one. The second's tests are run by another pytest, which starts as soon as no VM with real LVM
is at work, at the latest with the first's; they remain items of this one, which hands their reports
on as its own.
"""

from collections.abc import Callable

import pytest

from tests.cluster.beside import RunBeside


class SecondClusterPlugin:
    """Takes the marked tests over when there are others that want a cluster."""

    def __init__(self, must_wait: Callable[[], bool]) -> None:
        """Args: must_wait: whether others need the processors before the first cluster starts."""
        self._must_wait = must_wait
        self._there: set[pytest.Item] = set()
        self._run: RunBeside | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """The second cluster's come last: their results are there when the first's are done."""
        wanting = [item for item in items if "kubernetes" in getattr(item, "fixturenames", ())]
        there = {item for item in wanting if item.get_closest_marker("second")}
        if len(there) < len(wanting):
            self._there = there
            items.sort(key=self._there.__contains__)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self._there and self._run is None and self._may_start(item):
            tests = [one.nodeid for one in item.session.items if one in self._there]
            self._run = RunBeside(item.config, tests)
        if item not in self._there:
            return None
        assert self._run is not None
        self._run.hand_on(item, item.nodeid)
        return True

    def _may_start(self, item: pytest.Item) -> bool:
        return item.get_closest_marker("alone") is not None or not self._must_wait()

    def pytest_unconfigure(self) -> None:
        if self._run is not None:
            self._run.close()
