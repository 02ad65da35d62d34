"""Nodes that are VMs, with a thin pool and a power switch."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.control_plane import NODE_GRACE
from tests.cluster.images import cache
from tests.cluster.network import GATEWAY, Network, pod_subnet
from tests.cluster.node import Node, NodeError
from tests.cluster.node_disk import NodeDisks
from tests.cluster.programs import go_program
from tests.lvm.vm import Layer, Vm, make_image

_SCRIPT = Path(__file__).with_name("node-vm")
_MEMORY = "3G"
_POOL_SIZE = 16 << 30


class VmNode(Node):
    """Its disks survive power cuts."""

    def __init__(
        self,
        folder: Path,
        number: int,
        network: Network,
        kubeconfig: Path,
        images: Sequence[Path],
        *,
        cpu: int,
    ) -> None:
        """Make it, switched off, with the images of these archives, for a CPU of its own."""
        super().__init__(folder, number, network, kubeconfig)
        self._cpu = cpu
        self._tap = network.add_tap(number)
        var = Layer(folder / "var.img", folder / "images.img")
        NodeDisks(cache()).make(var.below, images)
        self._disks = (make_image(folder / "pool.img", _POOL_SIZE), var)
        self._vm: Vm | None = None

    def cut_power(self) -> None:
        """Switch it off at once: what its kernel has not written to its disks is lost."""
        if self._vm is not None:
            self._vm.cut_power()
            self._vm = None

    def volumes(self) -> str:
        return self.run("lvs --noheadings -o lv_name,lv_tags miren")

    def devices(self, volume: str) -> list[str]:
        name = f"miren-disk--{volume.replace('-', '--')}"
        return self.run(f"compgen -G '/dev/mapper/{name}*' || true").split()

    def assert_running(self) -> None:
        if self._vm is not None and self._vm.ended(within=0):
            raise NodeError(str(self._vm.failure(f"{self.name} has stopped")))

    def _switch_on(self) -> None:
        if self._vm is not None:
            raise AssertionError(f"{self.name} is on already")
        words = [self.name, self.address, pod_subnet(self._number), GATEWAY]
        command = [_SCRIPT, *words, go_program("kubelet"), NODE_GRACE]
        self._vm = Vm(
            self._folder,
            shlex.join(map(str, command)),
            disks=self._disks,
            memory=_MEMORY,
            cpu=self._cpu,
            tap=self._tap,
            starter=self._network.starter(),
        )

    def _switch_off(self) -> None:
        self.cut_power()
