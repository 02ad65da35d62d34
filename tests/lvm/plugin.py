"""Runs the suites of both pools a second time, on real LVM, each suite in a VM of its own.

Each test gets a twin, an item of this pytest whose node id starts with "lvm:". The VMs run them
while the tests outside run; a twin waits for its reports and hands them on as its own, so that
selection, output and summary are pytest's as always.
"""

import compileall
import itertools
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.lvm.suite import SuiteRun
from tests.lvm.vm import ROOT, usable_cpus

SUITES = ("life", "contract", "conformance")
_NOT_OURS = re.compile(re.escape(f"{ROOT}/."))
_TESTS = Path(__file__).resolve().parents[1]


class LvmItem(pytest.Item):
    """The twin of a test: the same one, run in a VM."""

    def __init__(self, *, test: pytest.Item, **node: Any) -> None:
        super().__init__(**node)
        self.test = test
        self.own_markers = list(test.iter_markers())
        self.add_marker("lvm")
        self.extra_keyword_matches.update(node.name for node in test.listchain())

    @classmethod
    def of(cls, test: pytest.Item) -> "LvmItem":
        twin: LvmItem = cls.from_parent(
            test.session,  # not its module, whose fixtures are of no use here
            name=test.name,  # so that one node id on the command line selects both
            nodeid=f"lvm:{test.nodeid}",
            path=test.path,
            test=test,
        )
        return twin

    def runtest(self) -> None:
        """Never called: LvmPlugin takes the whole protocol of a twin over."""
        raise NotImplementedError

    def reportinfo(self) -> tuple[Path, int | None, str]:
        _, line, name = self.test.location
        return self.path, line, f"lvm:{name}"


class LvmPlugin:
    """Adds the twins to the collected tests and runs those that are selected."""

    def __init__(self) -> None:
        self._runs: dict[str, SuiteRun] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if isinstance(collector, pytest.Session):  # gathers what modules and classes have given
            return report
        tests = [node for node in report.result if isinstance(node, pytest.Item)]
        others = [node for node in report.result if not _is_marked(node, "lvm_only")]
        report.result = [*others, *(LvmItem.of(test) for test in tests if _runs_on_lvm(test))]
        return report

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Twins come late: the VMs are at work meanwhile."""
        items.sort(key=lambda item: isinstance(item, LvmItem))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        twins = [item for item in session.items if isinstance(item, LvmItem)]
        if not twins or session.config.option.collectonly:
            return
        # A VM cannot write what it would have to compile for each of its Pythons.
        compileall.compile_dir(ROOT, rx=_NOT_OURS, quiet=1)
        cpus = itertools.cycle(reversed(usable_cpus()))  # the first is for tests that boot VMs
        for suite, cpu in zip(SUITES, cpus, strict=False):
            tests = [twin.test.nodeid for twin in twins if _suite(twin) == suite]
            if tests:
                self._runs[suite] = SuiteRun(session.config, tests, cpu=cpu)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not isinstance(item, LvmItem):
            return None
        self._runs[_suite(item)].hand_on(item, item.test.nodeid)
        return True

    def is_at_work(self) -> bool:
        """Whether a VM runs tests."""
        return any(not run.ended(within=0) for run in self._runs.values())

    def pytest_unconfigure(self) -> None:
        for run in self._runs.values():
            run.close()


def _runs_on_lvm(item: pytest.Item) -> bool:
    return _suite(item) in SUITES and not _is_marked(item, "loop_only")


def _suite(item: pytest.Item) -> str:
    """The name of the folder in tests/ that a test is in, at whatever depth."""
    return item.path.relative_to(_TESTS).parts[0] if item.path.is_relative_to(_TESTS) else ""


def _is_marked(node: pytest.Item | pytest.Collector, marker: str) -> bool:
    """Whether a test has that marker; a collector's own tests are asked one by one, later."""
    return isinstance(node, pytest.Item) and node.get_closest_marker(marker) is not None
