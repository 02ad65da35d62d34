"""What nodes start from, made ahead of those who want it, with what time others leave."""

import os
import signal
import subprocess
import sys

from tests.cluster import images
from tests.cluster.node_disk import NodeDisks
from tests.lvm.vm import ROOT


class Ahead:
    """The making of a node's disk with the driver's image, until it is done, or closed.

    It is silent: who wants such disks waits for it, meets what it meets, and tells it.
    """

    def __init__(self) -> None:
        # It copies the table of mounts for each of its steps: disks that tests have mounted then
        # would be in use until that step's end. This one knows only what is mounted by now.
        self._process = subprocess.Popen(
            ["unshare", "--mount", "nice", "-n", "19", sys.executable, "-m", __name__],
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


def main() -> None:
    """Make it."""
    NodeDisks(images.cache()).make_ahead([*images.usual(), images.driver()])


if __name__ == "__main__":
    main()
