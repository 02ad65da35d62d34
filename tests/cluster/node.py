"""The cluster's nodes: VMs with containerd, kubelet and a thin pool."""

import shlex
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.control_plane import NODE_GRACE
from tests.cluster.images import cache
from tests.cluster.network import GATEWAY, Network, node_address, pod_subnet
from tests.cluster.node_disk import NodeDisks, link_or_copy
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until
from tests.lvm.vm import Layer, Outcome, Vm, make_image

_INIT = Path(__file__).with_name("node-init")
_MEMORY = "3G"
_POOL_SIZE = 16 << 30


class Node:
    """A node from its first boot to `close`. Its disks survive power cuts."""

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
        """Make it, switched off.

        Args:
            folder: a new one, for all that is the node's.
            number: from 1, its own.
            images: archives of those that it has from the start.
        """
        self.name = f"node-{number}"
        self.address = node_address(number)
        self._folder = folder
        self._number = number
        self._cpu = cpu
        self._network = network
        self.share = folder / "share"
        """Its /run/share, where also the logs of kubelet and containerd are."""
        (self.share / "images").mkdir(parents=True)
        shutil.copy(kubeconfig, self.share / "kubeconfig")
        self._boot_id = self.share / "boot-id"
        self._tap = network.add_node(number)
        var = Layer(folder / "var.img", folder / "images.img")
        NodeDisks(cache()).make(var.below, images)
        self._disks = (make_image(folder / "pool.img", _POOL_SIZE), var)
        self._vm: Vm | None = None

    def boot(self, images: Sequence[Path] = ()) -> None:
        """Switch it on, and import what of these archives it has not imported yet.

        Returns at once: the node is ready later.
        """
        if self._vm is not None:
            raise AssertionError(f"{self.name} is on already")
        link_or_copy(images, self.share / "images")
        self._boot_id.unlink(missing_ok=True)
        shutil.rmtree(self.share / "jobs", ignore_errors=True)
        (self.share / "jobs").mkdir()
        self._vm = Vm(
            self._folder,
            self._command(),
            disks=self._disks,
            memory=_MEMORY,
            cpu=self._cpu,
            tap=self._tap,
            starter=self._network.starter(),
        )

    @property
    def boot_id(self) -> str | None:
        """What Kubernetes tells this boot from others by; none before the node's first words."""
        return self._boot_id.read_text().strip() if self._boot_id.exists() else None

    def cut_power(self) -> None:
        """Switch it off at once: what its kernel has not written to its disks is lost."""
        if self._vm is not None:
            self._vm.cut_power()
            self._vm = None

    def close(self) -> None:
        """Switch it off for good and remove its disks; its logs stay in its folder."""
        self.cut_power()
        for disk in self._folder.glob("*.img"):
            disk.unlink()

    def run(self, command: str, *, within: float = 60) -> str:
        """Run a shell command as root on the node; returns its output, stderr included.

        Raises AssertionError with that output when it fails; see `try_to_run` for one that may.
        """
        outcome = self.try_to_run(command, within=within)
        if outcome.status != 0:
            raise AssertionError(f"{command}: status {outcome.status}\n{outcome.console}")
        return outcome.console

    def try_to_run(self, command: str, *, within: float = 60) -> Outcome:
        """Run a shell command as root on the node; returns its status and output."""
        return run_job(self.share, command, within=within)

    def kill(self, service: str) -> None:
        """Kill `kubelet` or `containerd` with SIGKILL; the node starts it again after a second."""
        self.run(f'kill -KILL "$(cat /run/{service}.pid)"')

    def load(self, archive: Path) -> None:
        """Import an image's archive now; what has its name already is replaced by it."""
        copy = self.share / "load.tar"
        shutil.copy(archive, copy)
        self.run("ctr --namespace k8s.io images import /run/share/load.tar; sync", within=300)
        copy.unlink()

    def assert_running(self) -> None:
        """Raises VmError with the end of its console when it has stopped by itself."""
        if self._vm is not None and self._vm.ended(within=0):
            raise self._vm.failure(f"{self.name} has stopped")

    def _command(self) -> str:
        arguments = [self.name, self.address, pod_subnet(self._number), GATEWAY]
        command = [_INIT, *arguments, go_program("kubelet"), NODE_GRACE]
        return shlex.join(str(word) for word in command)


def run_job(share: Path, command: str, *, within: float) -> Outcome:
    """Have the node whose share this is run a shell command."""
    job = share / "jobs" / uuid.uuid4().hex
    new = job.with_suffix(".new")
    new.write_text(f"{command}\n")
    new.rename(job.with_suffix(".job"))
    status = job.with_suffix(".status")
    wait_until(status.exists, f"the node has run: {command}", within=within, every=0.02)
    return Outcome(int(status.read_text()), job.with_suffix(".output").read_text(errors="replace"))
