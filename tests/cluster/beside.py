"""A second pytest on this machine, with clusters of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.elsewhere import results
from tests.elsewhere.run import Run
from tests.lvm.vm import ROOT

OPTION = "--clusters"
"""How many clusters of each kind a pytest may start at once."""
_PATIENCE = 15.0  # seconds, to end the cluster
_LAST_LINES = 60


class RunBeside(Run):
    """The run of some tests by another pytest, and the workers among which it divides them."""

    def __init__(self, config: pytest.Config, tests: Sequence[str], *, clusters: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="miren-csi-beside-"))
        self._log = self._folder / "pytest.log"
        listed = self._folder / "tests"
        listed.write_text("".join(f"{test}\n" for test in tests))
        written = self._folder / "results.jsonl"
        # Its own faulthandler ends it when a test hangs for so long.
        longest = float(config.getini("faulthandler_timeout"))
        super().__init__(config, written, silence=longest + 60)
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *(sys.executable, "-m", "pytest", f"{OPTION}=1", "--color=no"),
                    *("-n", str(clusters), "--dist=loadfile", "--no-loadscope-reorder"),
                    *("--max-worker-restart=0", "-p", results.__name__),
                    *("-p", "no:cacheprovider", f"@{listed}"),
                ],
                cwd=ROOT,
                env={**os.environ, results.FILE: str(written)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the first one, which ends this one
            )

    @property
    def place(self) -> str:
        return "the pytest with the clusters"

    @property
    def log(self) -> Path:
        return self._log

    def ended(self, within: float) -> bool:
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        self._process.terminate()
        if not self.ended(_PATIENCE):
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(["its output ended so:", *lines[-_LAST_LINES:]])

    def close(self) -> bool:
        """End it; keep its output only when there is something to be found in it."""
        well = super().close()
        if well:
            shutil.rmtree(self._folder)
        return well
