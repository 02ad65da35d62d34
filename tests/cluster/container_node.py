"""Nodes that are containers on this machine: pods start in a third of the time of a VM's."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.control_plane import NODE_GRACE
from tests.cluster.images import cache
from tests.cluster.network import GATEWAY, Network, pod_subnet
from tests.cluster.node import Node, NodeError
from tests.cluster.node_disk import NodeDisks
from tests.cluster.programs import go_program

_SCRIPT = Path(__file__).with_name("node-container")
_POOL = "/var/lib/miren-csi/pool"
_LAST_LINES = 40


class ContainerNode(Node):
    """Its kernel is this machine's, which may have no device mapper: its pool is of loop files."""

    def __init__(
        self,
        folder: Path,
        number: int,
        network: Network,
        kubeconfig: Path,
        images: Sequence[Path],
    ) -> None:
        """Make it, switched off, with the images of these archives."""
        super().__init__(folder, number, network, kubeconfig)
        self._disk = folder / "var.img"
        NodeDisks(cache()).copy(self._disk, images)
        self._log = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None

    def volumes(self) -> str:
        return self.run(f"find {_POOL} -type f -printf '%f\n'")

    def devices(self, volume: str) -> list[str]:
        listed = self.run("losetup --list --noheadings --output NAME,BACK-FILE")
        # The paths are those of the mount namespace in which the driver lived at that time.
        rows = (line.partition(" ") for line in listed.splitlines())
        return [device for device, _, file in rows if f"/disks/disk-{volume}-" in file]

    def assert_running(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            raise NodeError("\n".join([f"{self.name} has stopped; its last words:", *said]))

    def _switch_on(self) -> None:
        if self._process is not None:
            raise AssertionError(f"{self.name} is on already")
        words = [self.name, self.address, pod_subnet(self._number), GATEWAY]
        kubelet: list[str | Path] = [go_program("kubelet"), str(NODE_GRACE)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", *self._network.starter()),
                    *(_SCRIPT, self.share, self._disk, f"veth{self._number}", *words, *kubelet),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _switch_off(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
