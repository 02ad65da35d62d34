"""The driver's image, built ahead of those who want it, with what time others leave."""

import os
import signal
import subprocess
import sys

from tests.lvm.vm import ROOT

_BUILD = "from tests.cluster import images; images.driver()"


class ImageAhead:
    """A build that goes on until it is done, or closed. Who wants the image waits for it.

    It is silent: they meet what it meets, and tell it.
    """

    def __init__(self) -> None:
        # A build copies the table of mounts for each of its steps: disks that tests have mounted
        # then would be in use until that step's end. This one knows only what is mounted by now.
        self._process = subprocess.Popen(
            ["unshare", "--mount", "nice", "-n", "19", sys.executable, "-c", _BUILD],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End it, with all that it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
