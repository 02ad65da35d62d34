"""Nodes that are VMs, with a thin pool and a power switch."""

import shlex
from pathlib import Path

from tests.cluster.images import cache
from tests.cluster.node import Node, NodeError, NodePlan
from tests.cluster.node_disk import NodeDisks
from tests.lvm.vm import Layer, Vm, make_image

_SCRIPT = Path(__file__).with_name("node-vm")
_MEMORY = "3G"
_POOL_SIZE = 16 << 30


class VmNode(Node):
    """Its disks survive power cuts."""

    def __init__(self, plan: NodePlan, *, cpu: int) -> None:
        """Make it, switched off, for a CPU of its own."""
        super().__init__(plan)
        self._cpu = cpu
        self._tap = plan.network.add_tap(plan.number)
        var = Layer(plan.folder / "var.img", plan.folder / "images.img")
        NodeDisks(cache()).make(var.below, plan.images)
        self._disks = (make_image(plan.folder / "pool.img", _POOL_SIZE), var)
        self._vm: Vm | None = None

    def cut_power(self) -> None:
        """Switch it off at once: what its kernel has not written to its disks is lost."""
        if self._vm is not None:
            self._vm.cut_power()
            self._vm = None

    def volumes(self) -> str:
        return self.run("lvs --noheadings -o lv_name,lv_tags miren")

    def is_of(self, device: str, volume: str) -> bool:
        return mapper_name(volume) in device

    def assert_running(self) -> None:
        if self._vm is not None and self._vm.ended(within=0):
            raise NodeError(str(self._vm.failure(f"{self.name} has stopped")))

    @property
    def _is_on(self) -> bool:
        return self._vm is not None

    def _switch_on(self) -> None:
        self._vm = Vm(
            self._folder,
            shlex.join([str(_SCRIPT), *self._words]),
            disks=self._disks,
            memory=_MEMORY,
            cpu=self._cpu,
            tap=self._tap,
            starter=self._network.starter(),
        )

    def _switch_off(self) -> None:
        self.cut_power()


def mapper_name(volume: str) -> str:
    """How the device-mapper names of a disk begin."""
    return f"miren-disk--{volume.replace('-', '--')}"
