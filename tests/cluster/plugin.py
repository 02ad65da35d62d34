"""Runs the tests marked `second` on a second cluster, beside the others on the first.

A cluster mostly waits, for kubelet's next look and the like, so two of them take hardly longer
than one. The second's tests are run by another pytest, which starts with the first's; they remain
items of this one, which hands their reports on as its own.
"""

import pytest

from tests.cluster.beside import RunBeside


class SecondClusterPlugin:
    """Takes the marked tests over when there are others that want a cluster."""

    def __init__(self) -> None:
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
        if self._there and self._run is None and item.get_closest_marker("alone"):
            tests = [one.nodeid for one in item.session.items if one in self._there]
            self._run = RunBeside(item.config, tests)
        if item not in self._there:
            return None
        assert self._run is not None
        self._run.hand_on(item, item.nodeid)
        return True

    def pytest_unconfigure(self) -> None:
        if self._run is not None:
            self._run.close()
