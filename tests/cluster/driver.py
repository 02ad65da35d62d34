"""The driver as its operator installs it, and what he sees of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.lvm.vm import ROOT

NAMESPACE = "miren-system"
LABEL = "disk.miren.dev/coordinator=true"
MANIFESTS = ROOT / "deploy" / "kubernetes"
_LABELS = "app.kubernetes.io/name=miren-csi"


class Driver:
    """The driver in a cluster whose nodes have its image."""

    def __init__(self, kubernetes: Cluster, folder: Path) -> None:
        """Args: folder: an empty one, for the operator's kustomization."""
        self._kubernetes = kubernetes
        self._folder = folder

    def install(self, coordinator: Node, components: Sequence[str] = ()) -> None:
        """Follow docs/install.md: with the pool's overlay, snapshots and further components."""
        self._kubernetes.kubectl("label", "--overwrite", "node", coordinator.name, LABEL)
        parts = {
            "resources": [self._relative(f"overlays/{self._kubernetes.pool}")],
            "components": [
                self._relative(f"components/{one}") for one in ("snapshots", *components)
            ],
        }
        (self._folder / "kustomization.yaml").write_text(json.dumps(parts))
        self._kubernetes.apply(self._folder)
        # The longer the first controller takes to make the Secret that node plugins mount, the
        # longer are the pauses, up to two minutes, after which kubelet looks for it again.
        self.ready(within=300)

    def _relative(self, part: str) -> str:
        # kustomize takes no absolute paths.
        up = "/".join(".." for _ in self._folder.resolve().parts[1:])
        return up + str(MANIFESTS / part)

    def ready(self, within: float = 120) -> None:
        """Wait until both plugins are up to date and ready."""
        for what in ("deployment/miren-csi-controller", "daemonset/miren-csi-node"):
            self.kubectl("rollout", "status", what, f"--timeout={within:g}s", within=within + 10)

    def kubectl(self, *words: str, within: float = 60) -> str:
        """kubectl in the driver's namespace."""
        return self._kubernetes.kubectl("--namespace", NAMESPACE, *words, within=within)

    def last_words(self) -> str:
        """What its containers have logged in the last minutes, or why that cannot be read."""
        chosen = ("--selector", _LABELS, "--all-containers", "--prefix")
        try:
            return self.kubectl("logs", *chosen, "--since=3m", "--tail=200", "--ignore-errors")
        except KubectlError as error:
            return str(error)

    def pod(self, component: str) -> str:
        """The name of the `controller` or the `node` pod; the first when there are several."""
        labels = f"{_LABELS},app.kubernetes.io/component={component}"
        name = "jsonpath={.items[0].metadata.name}"
        return self.kubectl("get", "pods", "--selector", labels, "--output", name)

    def lease(self, volume: str) -> dict[str, Any]:
        """The Lease object of a PV's disk."""
        return self._kubernetes.get("lease", volume, namespace=NAMESPACE)

    def holder(self, volume: str) -> str:
        """Who holds a PV's disk; empty when nobody does."""
        return str(self.lease(volume)["spec"].get("holderIdentity") or "")

    def state(self, volume: str) -> str:
        """How the lease stands: bound, released, pending or failed."""
        return str(self.lease(volume)["metadata"]["labels"]["disk.miren.dev/state"])
