"""Runs tests on real LVM: one pytest inside one VM."""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.elsewhere import results
from tests.elsewhere.run import Run
from tests.lvm.vm import Vm, make_image

_POOL = "lvm:miren/pool"
# Seconds: a test that hangs is ended by the pytest in the VM, which shows where; and when nothing
# comes out of the VM for longer, the VM is.
_LONGEST_TEST = 600
_SILENCE = _LONGEST_TEST + 60


class SuiteRun(Run):
    """The run of some tests in a VM of their own."""

    def __init__(self, config: pytest.Config, tests: Sequence[str], *, cpu: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="miren-csi-lvm-"))
        self._images = [
            make_image(self._folder / "pool.img", 32 << 30),
            make_image(self._folder / "scratch.img", 16 << 30),
        ]
        share = self._folder / "share"
        share.mkdir()
        (share / "tests").write_text("".join(f"{test}\n" for test in tests))
        super().__init__(config, share / "results.jsonl", silence=_SILENCE)
        self._vm = Vm(self._folder, _command(), disks=self._images, cpu=cpu)

    @property
    def place(self) -> str:
        return "the VM"

    @property
    def log(self) -> Path:
        return self._vm.console_log

    def ended(self, within: float) -> bool:
        return self._vm.ended(within)

    def stop(self) -> None:
        self._vm.cut_power()

    def last_words(self) -> str:
        return str(self._vm.failure("it has stopped"))

    def close(self) -> bool:
        """Switch the VM off; keep its console only when there is something to be found in it."""
        well = super().close()
        for image in self._images:
            image.unlink()
        if well:
            shutil.rmtree(self._folder)
        return well


def _command() -> str:
    """What the VM does: make a pool and room for files, then run the tests listed in its share."""
    pytest_in_vm = [
        *(sys.executable, "-m", "pytest", "-q", "--color=no", "--pool", _POOL),
        *("-p", results.__name__, "-p", "no:cacheprovider"),
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
        export MIREN_CSI_CACHE={shlex.quote(str(_cache()))} {results.FILE}=/run/share/results.jsonl
        {shlex.join(pytest_in_vm)}
    """


def _cache() -> Path:
    """Where scripts/go-program has put what it built, as the VM has another HOME."""
    return Path(os.environ.get("MIREN_CSI_CACHE") or Path.home() / ".cache/miren-csi")
