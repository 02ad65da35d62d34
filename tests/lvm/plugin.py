"""Runs the suites of both pools a second time, on real LVM: one pytest, inside one VM.

Each test gets a twin, an item of this pytest whose node id starts with "lvm:". The VM runs them
while the tests outside run; a twin waits for its reports and hands them on as its own, so that
selection, output and summary are pytest's as always.
"""

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lvm.results import FILE, ResultReader
from tests.lvm.vm import Vm, make_image, usable_cpus

POOL = "lvm:miren/pool"
SUITES = ("contract", "life", "conformance")
# Seconds: a test that hangs is ended by the pytest in the VM, which shows where; and when nothing
# comes out of the VM for longer, the VM is.
_LONGEST_TEST = 600
_SILENCE = _LONGEST_TEST + 60
_TESTS = Path(__file__).resolve().parents[1]


class LvmItem(pytest.Item):
    """The twin of a test: the same one, run in the VM."""

    def __init__(self, *, twin: pytest.Item, **node: Any) -> None:
        super().__init__(**node)
        self.twin = twin
        self.own_markers = list(twin.iter_markers())
        self.add_marker("lvm")
        self.extra_keyword_matches.update(node.name for node in twin.listchain())

    @classmethod
    def of(cls, twin: pytest.Item) -> "LvmItem":
        item: LvmItem = cls.from_parent(
            twin.session,  # not its module, whose fixtures are of no use here
            name=twin.name,  # so that one node id on the command line selects both
            nodeid=f"lvm:{twin.nodeid}",
            path=twin.path,
            twin=twin,
        )
        return item

    def runtest(self) -> None:
        """Never called: LvmPlugin takes the whole protocol of a twin over."""
        raise NotImplementedError

    def reportinfo(self) -> tuple[Path, int | None, str]:
        _, line, name = self.twin.location
        return self.path, line, f"lvm:{name}"


class LvmRun:
    """The twins' run in its VM, and their reports as they come."""

    def __init__(self, config: pytest.Config, tests: Sequence[str]) -> None:
        self._config = config
        self._folder = Path(tempfile.mkdtemp(prefix="miren-csi-lvm-"))
        self._images = [
            make_image(self._folder / "pool.img", 32 << 30),
            make_image(self._folder / "scratch.img", 16 << 30),
        ]
        share = self._folder / "share"
        share.mkdir()
        (share / "tests").write_text("".join(f"{test}\n" for test in tests))
        self._results = ResultReader(config, share / FILE)
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._done: set[str] = set()
        self._heard = time.monotonic()
        self._failed = False
        self._vm = Vm(
            self._folder, _command(), disks=self._images, memory="2G", cpu=usable_cpus()[-1]
        )

    def reports_of(self, item: LvmItem) -> list[pytest.TestReport]:
        """All reports of a twin; waits for them as long as there is hope."""
        test = item.twin.nodeid
        while not self._has(test):
            over = self._vm.ended(within=0.1)
            if not over and time.monotonic() - self._heard > _SILENCE:
                self._vm.cut_power()
            elif over and not self._has(test):
                self._reports.setdefault(test, []).append(self._lost(item))
                break
        reports = self._reports.pop(test)
        for report in reports:
            report.nodeid, report.location = item.nodeid, item.location
        return reports

    def _has(self, test: str) -> bool:
        for name, report in self._results.new():
            self._heard = time.monotonic()
            if report is None:
                self._done.add(name)
            else:
                self._reports.setdefault(name, []).append(report)
        return test in self._done

    def _lost(self, item: LvmItem) -> pytest.TestReport:
        """The report of a test that the VM did not finish; the first one tells the whole story."""
        reason = "the VM ended, or was stopped as stuck, before this test's result"
        text = f"{reason}: see the first failure" if self._failed else self._vm.failure(reason)
        self._failed = True
        return pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"{text}\nThe whole console: {self._vm.console_log}",
            when="call",
        )

    def close(self) -> None:
        """Switch the VM off; keep its console only when there is something to be found in it."""
        self._vm.cut_power()
        for image in self._images:
            image.unlink()
        if not self._failed:
            shutil.rmtree(self._folder)


class LvmPlugin:
    """Adds the twins to the collected tests and runs those that are selected."""

    def __init__(self) -> None:
        self._run: LvmRun | None = None

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
        """Twins come last: the VM is at work meanwhile."""
        items.sort(key=lambda item: isinstance(item, LvmItem))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        tests = [item.twin.nodeid for item in session.items if isinstance(item, LvmItem)]
        if not tests or session.config.option.collectonly:
            return
        if shutil.which("linux.uml") is None:
            raise pytest.UsageError(
                "the tests on real LVM need User-Mode Linux (apt-get install user-mode-linux);"
                " --pool loop does without them"
            )
        self._run = LvmRun(session.config, tests)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not isinstance(item, LvmItem) or self._run is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._run.reports_of(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_unconfigure(self) -> None:
        if self._run is not None:
            self._run.close()


def _runs_on_lvm(item: pytest.Item) -> bool:
    inside = item.path.relative_to(_TESTS).parts if item.path.is_relative_to(_TESTS) else ("",)
    return inside[0] in SUITES and not _is_marked(item, "loop_only")


def _is_marked(node: pytest.Item | pytest.Collector, marker: str) -> bool:
    """Whether a test has that marker; a collector's own tests are asked one by one, later."""
    return isinstance(node, pytest.Item) and node.get_closest_marker(marker) is not None


def _command() -> str:
    """What the VM does: make a pool and room for files, then run the tests listed in its share."""
    pytest_in_vm = [
        *(sys.executable, "-m", "pytest", "-q", "--color=no", "--pool", POOL),
        *("-p", "tests.lvm.results", "-p", "no:cacheprovider"),
        *("-o", f"faulthandler_timeout={_LONGEST_TEST}"),
        *("--basetemp", "/run/scratch/pytest", "@/run/share/tests"),
    ]
    return f"""
        set -e
        tests/lvm/make-pool /dev/ubda
        mkfs.ext4 -q /dev/ubdb
        mkdir /run/scratch
        mount /dev/ubdb /run/scratch
        export PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/run/scratch/hypothesis
        export MIREN_CSI_CACHE={shlex.quote(str(_cache()))}
        {shlex.join(pytest_in_vm)}
    """


def _cache() -> Path:
    """Where scripts/csi-sanity has put what it built, as the VM has another HOME."""
    return Path(os.environ.get("MIREN_CSI_CACHE") or Path.home() / ".cache/miren-csi")
