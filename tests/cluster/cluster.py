"""A real Kubernetes cluster on this machine, for tests and for engineers."""

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import images
from tests.cluster.container_node import ContainerNode
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.network import Network
from tests.cluster.node import Node, NodePlan
from tests.cluster.pki import Pki
from tests.cluster.programs import KUBECTL_MIREN
from tests.cluster.vm_node import VmNode
from tests.cluster.waiting import wait_until

_READY_WITHIN = 120.0


class Pool(StrEnum):
    """What a cluster's nodes have for disks, as the driver's overlays are called."""

    LVM = "lvm"
    """A thin pool, in nodes that are VMs."""
    LOOP = "loop"
    """A folder, in nodes that are containers: the faster ones."""


class Cluster:
    """A control plane and nodes; leaving the `with` ends all of it.

    All that it stores lies in `folder`; its logs stay there.
    """

    def __init__(self, folder: Path, pool: Pool, cpus: Sequence[int]) -> None:
        """Args: folder: a new one; cpus: those that nodes have which are VMs, one each, in turn."""
        self.folder = folder
        self.pool = pool
        self._cpus = cpus
        self.nodes: list[Node] = []
        self._from_start: list[Path] = []
        self._loaded: list[Path] = []
        self.network = Network()
        try:
            self._pki = Pki(folder / "pki")
            self.control_plane = ControlPlane(folder / "control-plane", self.network, self._pki)
        except BaseException:
            self.network.close()
            raise
        self.kubectl = Kubectl(self.network.starter(), self.control_plane.admin)
        """kubectl as admin."""

    def up(self, nodes: int = 1, archives: Sequence[Path] = ()) -> Self:
        """Start the control plane and nodes that have these images beside the usual ones."""
        try:
            self._from_start = [*images.usual(), *archives]
            started = [self._boot_new() for _ in range(nodes)]  # they boot meanwhile
            self.control_plane.start()
            for node in started:
                self._settle(node)
            # Until then the admission of pods fails.
            wait_until(self._has_service_account, "there is a service account", within=60)
        except BaseException:
            self.down()
            raise
        return self

    def add_node(self) -> Node:
        """Boot one more node and wait until it is ready."""
        node = self._boot_new()
        self._settle(node)
        return node

    def boot(self, node: Node) -> None:
        """Switch a node on again and wait until it is ready."""
        node.boot()
        self.wait_ready(node)

    def wait_ready(self, node: Node, within: float = _READY_WITHIN) -> None:
        """Wait until Kubernetes says that a node, booted since, is ready."""
        wait_until(functools.partial(self._is_ready, node), f"{node.name} is Ready", within=within)

    def down(self) -> None:
        """End all of it; only logs are left in its folder."""
        for node in self.nodes:
            node.close()
        self.control_plane.stop()
        self.network.close()

    def apply(self, manifest: str | Path) -> str:
        """Apply a manifest, given as a file, a kustomize folder or its text."""
        if isinstance(manifest, str):
            return self.kubectl("apply", "--filename", "-", stdin=manifest)
        return self.kubectl("apply", "-k" if manifest.is_dir() else "-f", str(manifest))

    def get(self, *names: str, namespace: str = "default") -> dict[str, Any]:
        """Read an object (`get("pod", "web")`), or a list of them (`get("pods")`)."""
        text = self.kubectl("get", *names, "--namespace", namespace, "--output", "json")
        found: dict[str, Any] = json.loads(text)
        return found

    def wait(
        self, what: str, condition: str, *, namespace: str = "default", within: float = 60
    ) -> None:
        """Wait until `kubectl wait --for CONDITION WHAT` is content, also with what is to come.

        Raises KubectlError with a description of the object when it is not in time.
        """
        try:
            self.kubectl(
                *("wait", what, f"--for={condition}", f"--timeout={within:g}s"),
                *("--namespace", namespace),
                within=within + 10,
            )
        except KubectlError as late:
            described = ("describe", what, "--namespace", namespace)
            try:
                story = self.kubectl(*described)
            except KubectlError as unknown:
                story = str(unknown)
            raise KubectlError(f"{late}\n{story}") from None

    def as_user(self, name: str, groups: Sequence[str] = ()) -> Kubectl:
        """kubectl as a user who may do only what RBAC lets that name and these groups do."""
        return Kubectl(self.network.starter(), self._pki.kubeconfig(name, groups))

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, within: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program that reaches the API server as admin, by KUBECONFIG; see its status."""
        kubeconfig = {"KUBECONFIG": str(self.kubectl.kubeconfig)}
        return subprocess.run(
            [*self.network.starter(), *command],
            env={**os.environ, **kubeconfig, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def miren(self, *words: str, within: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run this checkout's kubectl-miren as admin; see its status."""
        return self.run(KUBECTL_MIREN, *words, within=within)

    def load(self, archive: Path) -> None:
        """Bring one more image to all nodes, and to those to come."""
        self._loaded.append(archive)
        for node in self.nodes:
            node.load(archive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def _boot_new(self) -> Node:
        number = len(self.nodes) + 1
        user, groups = f"system:node:node-{number}", ["system:nodes"]
        kubeconfig = self._pki.kubeconfig(user, groups)
        folder = self.folder / f"node-{number}"
        plan = NodePlan(folder, number, self.network, kubeconfig, self._from_start)
        node: Node
        if self.pool is Pool.LVM:
            node = VmNode(plan, cpu=self._cpus[(number - 1) % len(self._cpus)])
        else:
            node = ContainerNode(plan)
        self.nodes.append(node)
        node.boot(self._loaded)
        return node

    def _settle(self, node: Node) -> None:
        """Wait until a new node is ready, and let no power cut take what made it so."""
        self.wait_ready(node)
        if self.pool is Pool.LVM:
            node.run("sync")

    def _is_ready(self, node: Node) -> bool:
        node.assert_running()
        query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}{.status.nodeInfo.bootID}"
        kubelet = f"/api/v1/nodes/{node.name}/proxy/healthz"
        try:
            found = self.kubectl("get", "node", node.name, "--output", query)
            # A connection to it from before its power was cut would fail the next who uses it.
            return found == f"True{node.boot_id}" and self.kubectl("get", "--raw", kubelet) == "ok"
        except KubectlError:
            return False

    def _has_service_account(self) -> bool:
        try:
            self.kubectl("get", "serviceaccount", "default")
        except KubectlError:
            return False
        return True
