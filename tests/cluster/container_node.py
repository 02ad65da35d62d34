"""Nodes that are containers on this machine: a pod costs a third of the work that it is in a VM."""

import subprocess
from pathlib import Path

from controller.image_facts import ATTRIBUTE
from tests.cluster.images import cache
from tests.cluster.node import Node, NodeError, NodePlan
from tests.cluster.node_disk import NodeDisks

_SCRIPT = Path(__file__).with_name("node-container")
_POOL = "/var/lib/miren-csi/pool"
_LAST_LINES = 40


class ContainerNode(Node):
    """Its kernel is this machine's, which may have no device mapper: its pool is of loop files."""

    def __init__(self, plan: NodePlan) -> None:
        """Make it, switched off."""
        super().__init__(plan)
        self._disk = plan.folder / "var.img"
        NodeDisks(cache()).copy(self._disk, plan.images)
        self._log = plan.folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None

    def volumes(self) -> str:
        facts = f"getfattr --only-values --absolute-names --name {ATTRIBUTE} {{}}"
        find = f"find -type f -printf '%f %s ' -exec {facts} ';' -printf '\\n'"
        return self.run(f"cd {_POOL} && {{ {find} || true; }}")  # a file may go meanwhile

    def is_of(self, device: str, volume: str) -> bool:
        if not device.startswith("/dev/loop"):
            return False
        # It may be gone, as other disks go meanwhile. The path is that in the mount namespace in
        # which the driver lived at that time.
        backing = self.try_to_run(f"cat /sys/block/{Path(device).name}/loop/backing_file")
        return f"/disks/disk-{volume}-" in backing.console

    def assert_running(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise NodeError("\n".join([f"{self.name} has stopped; its last words:", *said]))

    @property
    def _is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _switch_on(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", *self._network.starter()),
                    *(str(_SCRIPT), str(self.share), str(self._disk)),
                    *(f"veth{self._number}", *self._words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for pytest, which ends it
            )

    def _switch_off(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
