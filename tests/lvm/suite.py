"""Runs tests on real LVM: one pytest inside one VM, its reports handed out as they come."""

import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lvm.results import FILE, ResultReader
from tests.lvm.vm import Vm, make_image

_POOL = "lvm:miren/pool"
# Seconds: a test that hangs is ended by the pytest in the VM, which shows where; and when nothing
# comes out of the VM for longer, the VM is.
_LONGEST_TEST = 600
_SILENCE = _LONGEST_TEST + 60


class SuiteRun:
    """The run of some tests in a VM of their own, and their reports as they come."""

    def __init__(self, config: pytest.Config, tests: Sequence[str], *, cpu: int) -> None:
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
        self._vm = Vm(self._folder, _command(), disks=self._images, cpu=cpu)

    def reports_of(self, test: str) -> list[pytest.TestReport]:
        """All reports of a test, by its node id; waits for them as long as there is hope."""
        while not self._has(test):
            over = self._vm.ended(within=0.1)
            if not over and time.monotonic() - self._heard > _SILENCE:
                self._vm.cut_power()
            elif over and not self._has(test):
                self._reports.setdefault(test, []).append(self._lost(test))
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
        """The report of a test that the VM did not finish; the first one tells the whole story."""
        reason = "the VM ended, or was stopped as stuck, before this test's result"
        text = f"{reason}: see the first failure" if self._failed else self._vm.failure(reason)
        self._failed = True
        return pytest.TestReport(
            nodeid=test,
            location=(test, None, test),
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


def _command() -> str:
    """What the VM does: make a pool and room for files, then run the tests listed in its share."""
    pytest_in_vm = [
        *(sys.executable, "-m", "pytest", "-q", "--color=no", "--pool", _POOL),
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
    """Where scripts/go-program has put what it built, as the VM has another HOME."""
    return Path(os.environ.get("MIREN_CSI_CACHE") or Path.home() / ".cache/miren-csi")
