"""What snapshots need in a cluster, as its operator installs it: CRDs and snapshot-controller."""

import json
import subprocess
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.lvm.vm import ROOT

_SNAPSHOTTER = "github.com/kubernetes-csi/external-snapshotter"
_CLIENT = f"{_SNAPSHOTTER}/client/v8@v8.6.0"
_CONTROLLER = f"{_SNAPSHOTTER}/v8@v8.7.0"
_MANIFEST = Path(__file__).with_name("snapshot-controller.yaml")


def install_snapshots(cluster: Cluster) -> None:
    """Install them and wait until they work; doing it again does no harm."""
    crds = _module(_CLIENT) / "config" / "crd"
    cluster.apply(crds)
    rights = "deploy/kubernetes/snapshot-controller/rbac-snapshot-controller.yaml"
    cluster.apply(_module(_CONTROLLER) / rights)
    for crd in sorted(crds.glob("*.storage.k8s.io_*.yaml")):
        group, _, kind = crd.stem.partition("_")
        cluster.wait(f"crd/{kind}.{group}", "condition=Established")
    cluster.apply(_MANIFEST)
    cluster.wait("deployment/snapshot-controller", "condition=Available", namespace="kube-system")


def _module(name: str) -> Path:
    """The folder of a Go module, downloaded when it is not there yet."""
    go = ROOT / "scripts" / "go"
    found = subprocess.run(
        [go, "mod", "download", "-json", name], stdout=subprocess.PIPE, check=True
    )
    return Path(json.loads(found.stdout)["Dir"])
