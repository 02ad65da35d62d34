"""docs/install.md does what it says, word by word, on a cluster that has no driver yet."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.document import Block, commands_of
from tests.cluster.marks import GROWS
from tests.cluster.node import Node
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until
from tests.lvm.vm import ROOT

_LEFT_OUT = {
    "docker": "there is no docker here; tests build the image with buildah",
    "apt-get install lvm2": "the loop pool is installed here, other tests use LVM",
    "kubectl apply -k deploy/kubernetes/overlays/lvm": "the same",
    "kubectl label node NODE disk.miren.dev/pool=true": "test_two_nodes.py does",
    "kubectl get crd": "the fixture `snapshots` has installed them",
    "git clone": "the same",
    "scripts/venv runtime": "the tests have such an environment",
    "kubectl kustomize": "kubelet's folder is the usual one here",
    "kubectl delete csidriver": "no older version is here; test_csidriver.py has its CSIDriver",
    "kubectl delete pv PV": "what is left is looked at before",
}
"""Blocks that begin so are not run, and why."""
_WORDS = {
    " NODE": " node-1",
    " POD": " writer",
    # What never ends by itself.
    "kubectl get pvc notes --watch": "kubectl wait pvc/notes --timeout=4m "
    "--for=jsonpath='{.status.capacity.storage}'=2Gi",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the operator has of the repository, and kubectl."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(go_program("kubectl"))
    return tmp_path


@pytest.fixture
def clean(kubernetes: Cluster, node: Node) -> Iterator[None]:
    """Leaves nothing of the loop pool for the tests to come."""
    yield
    kubernetes.kubectl("delete", "pvc", "--all", "--wait=false")
    kubernetes.kubectl("delete", "pv", "--all", "--wait=false")
    node.run("rm -rf /var/lib/miren-csi /var/lib/miren")


@GROWS
@pytest.mark.usefixtures("clean", "driver_image", "snapshots")
def test_followed_word_by_word(kubernetes: Cluster, node: Node, checkout: Path) -> None:
    said = {
        block.text: _follow(kubernetes, checkout, block)
        for block in commands_of(ROOT / "docs" / "install.md")
        if not block.text.startswith(tuple(_LEFT_OUT))
    }

    def answer(words: str) -> str:
        return next(output for text, output in said.items() if words in text)

    assert "UTC" in answer("kubectl logs writer")
    assert "pgdata" in answer("kubectl get pv,pvc")
    assert "default/writer" in answer("kubectl get lease")
    assert "miren_csi_leases" in answer("/metrics")
    # The driver is gone, the data is not.
    wait_until(lambda: not _namespaced(kubernetes), "the driver is gone", within=120)
    assert {one["spec"]["claimRef"]["name"] for one in kubernetes.get("pv")["items"]} >= {"notes"}
    assert "disk-" in node.run("ls /var/lib/miren-csi/pool/disks")


def _follow(kubernetes: Cluster, checkout: Path, block: Block) -> str:
    """Run a block as one who pastes it; returns what it prints."""
    text = block.text
    for word, meant in _WORDS.items():
        text = text.replace(word, meant)
    path = f"{checkout / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = f"cd {checkout}\n{text}"
    done = kubernetes.run(*("bash", "-euc", script), environment={"PATH": path}, within=400)
    assert done.returncode == 0, f"install.md:{block.line}\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _namespaced(kubernetes: Cluster) -> object:
    return [
        one
        for one in kubernetes.get("namespaces")["items"]
        if one["metadata"]["name"] == "miren-system"
    ]
