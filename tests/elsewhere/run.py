"""Tests that another pytest runs meanwhile, and their reports as that one writes them."""

import time
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from tests.elsewhere.results import ResultReader


class Run(ABC):
    """The run of some tests elsewhere, from its start to `close`."""

    def __init__(self, config: pytest.Config, results: Path, *, silence: float) -> None:
        """Args: results: the file; silence: after so many seconds without a word it is stuck."""
        self._results = ResultReader(config, results)
        self._silence = silence
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._done: set[str] = set()
        self._heard = time.monotonic()
        self._lost_some = False

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the tests run, as a failure calls it: `the VM`."""

    @property
    @abstractmethod
    def log(self) -> Path:
        """The file with all that it has printed."""

    @abstractmethod
    def ended(self, within: float) -> bool:
        """Whether it has ended; waits up to `within` seconds for that."""

    @abstractmethod
    def stop(self) -> None:
        """End it at once, if it runs."""

    @abstractmethod
    def last_words(self) -> str:
        """The end of what it has printed."""

    def hand_on(self, item: pytest.Item, test: str) -> None:
        """Report as the outcome of `item` that of a test there, by its node id; waits for it."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports_of(test):
            report.nodeid, report.location = item.nodeid, item.location
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def close(self) -> bool:
        """End it; returns whether there is nothing to be found in what it leaves behind."""
        self.stop()
        return not self._lost_some

    def _reports_of(self, test: str) -> list[pytest.TestReport]:
        """All reports of a test; waits for them as long as there is hope."""
        while not self._has(test):
            over = self.ended(within=0.1)
            if not over and time.monotonic() - self._heard > self._silence:
                self.stop()
            elif over and not self._has(test):
                reports = self._reports.setdefault(test, [])
                if not any(report.failed for report in reports):
                    reports.append(self._lost(test))
                break
        return self._reports.pop(test)

    def _has(self, test: str) -> bool:
        for name, report in self._results.new():
            self._heard = time.monotonic()
            if report is None:
                self._done.add(name)
            else:
                self._reports.setdefault(name, []).append(report)
        return test in self._done

    def _lost(self, test: str) -> pytest.TestReport:
        """The report of a test that was not finished; the first one tells the whole story."""
        reason = f"{self.place} ended, or was stopped as stuck, before this test's result"
        tail = "see the first failure" if self._lost_some else self.last_words()
        self._lost_some = True
        return pytest.TestReport(
            nodeid=test,
            location=(test, None, test),
            keywords={},
            outcome="failed",
            longrepr=f"{reason}: {tail}\nAll that it printed: {self.log}",
            when="call",
        )
