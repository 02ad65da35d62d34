"""What tests can do with a node of the cluster, be it a VM or a container."""

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.control_plane import NODE_GRACE
from tests.cluster.network import GATEWAY, Network, node_address, pod_subnet
from tests.cluster.node_disk import link_or_copy
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until
from tests.lvm.vm import Outcome


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node is made from."""

    folder: Path
    """A new one, for all that is the node's."""
    number: int
    """From 1, its own."""
    network: Network
    kubeconfig: Path
    images: Sequence[Path]
    """Archives of those that it has from the start."""


class Node(ABC):
    """A node with containerd and kubelet, from its first boot to `close`."""

    def __init__(self, plan: NodePlan) -> None:
        """Make it, switched off."""
        self.name = f"node-{plan.number}"
        self.address = node_address(plan.number)
        self._folder = plan.folder
        self._number = plan.number
        self._network = plan.network
        self.share = plan.folder / "share"
        """Its /run/share, where also the logs of kubelet and containerd are."""
        (self.share / "images").mkdir(parents=True)
        shutil.copy(plan.kubeconfig, self.share / "kubeconfig")
        self._boot_id = self.share / "boot-id"
        plan.network.route_pods(plan.number)

    def boot(self, images: Sequence[Path] = ()) -> None:
        """Switch it on, and import what of these archives it has not imported yet.

        Returns at once: the node is ready later.
        """
        if self._is_on:
            raise AssertionError(f"{self.name} is on already")
        link_or_copy(images, self.share / "images")
        self._boot_id.unlink(missing_ok=True)
        shutil.rmtree(self.share / "jobs", ignore_errors=True)
        (self.share / "jobs").mkdir()
        self._switch_on()

    @property
    def boot_id(self) -> str | None:
        """What Kubernetes tells this boot from others by; none before the node's first words."""
        return self._boot_id.read_text().strip() if self._boot_id.exists() else None

    def close(self) -> None:
        """Switch it off for good and remove its disks; its logs stay in its folder."""
        self._switch_off()
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

    def scratch_volumes(self) -> list[str]:
        """Those of `volumes` that are for one pod each."""
        return [line for line in self.volumes().splitlines() if "disk-csi-" in line]

    def kill(self, service: str) -> None:
        """Kill `kubelet` or `containerd` with SIGKILL; the node starts it again after a second."""
        self.run(f'kill -KILL "$(cat /run/{service}.pid)"')

    def load(self, archive: Path) -> None:
        """Import an image's archive now; what has its name already is replaced by it."""
        copy = self.share / "load.tar"
        shutil.copy(archive, copy)
        self.run(
            "ctr --namespace k8s.io images import /run/share/load.tar && sync -f /var", within=300
        )
        copy.unlink()

    @abstractmethod
    def volumes(self) -> str:
        """What its pool holds, past the driver: name and facts of each volume, a line for each."""

    @abstractmethod
    def is_of(self, device: str, volume: str) -> bool:
        """Whether a block device, as the mount table names it, is that of a disk."""

    @abstractmethod
    def assert_running(self) -> None:
        """Raises NodeError with its last words when it has stopped by itself."""

    @property
    @abstractmethod
    def _is_on(self) -> bool: ...

    @abstractmethod
    def _switch_on(self) -> None: ...

    @abstractmethod
    def _switch_off(self) -> None: ...

    @property
    def _words(self) -> list[str]:
        """What its scripts are told (see node-vm)."""
        place = (self.name, self.address, pod_subnet(self._number), GATEWAY)
        return [*place, str(go_program("kubelet")), str(NODE_GRACE)]


class NodeError(Exception):
    """A node has stopped by itself; the message ends with its last words."""


def run_job(share: Path, command: str, *, within: float) -> Outcome:
    """Have the node whose share this is run a shell command."""
    job = share / "jobs" / uuid.uuid4().hex
    new = job.with_suffix(".new")
    new.write_text(f"{command}\n")
    new.rename(job.with_suffix(".job"))
    status = job.with_suffix(".status")
    wait_until(status.exists, f"the node has run: {command}", within=within, every=0.02)
    return Outcome(int(status.read_text()), job.with_suffix(".output").read_text(errors="replace"))
