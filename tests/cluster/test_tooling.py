"""The cluster that the other tests of this folder stand on."""

import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.audit import WRITES
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.kills import kill_service
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node, NodeError
from tests.cluster.vm_node import VmNode
from tests.cluster.waiting import wait_until
from tests.lvm.vm import usable_cpus

_CLOCK = """
apiVersion: v1
kind: Pod
metadata: {name: clock}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: notes, hostPath: {path: /var/lib/notes, type: DirectoryOrCreate}}]
  containers:
    - name: clock
      image: busybox:1.35
      command:
        - sh
        - -c
        - date +%s >>/notes/starts; sync; cat /notes/starts; touch /ready; exec sleep 1000000
      # A container that runs may not have come to its first word yet.
      readinessProbe: {exec: {command: [test, -f, /ready]}, periodSeconds: 1}
      volumeMounts: [{name: notes, mountPath: /notes}]
"""


@contextmanager
def clock(kubernetes: Cluster, node: Node) -> Iterator[None]:
    """A pod that writes down, on its node's disk, whenever it starts."""
    kubernetes.apply(_CLOCK)
    try:
        kubernetes.wait("pod/clock", "condition=Ready")
        yield
    finally:
        kubernetes.kubectl("delete", "pod", "clock", "--now")
        node.run("rm -r /var/lib/notes")


@pytest.mark.pools("lvm")
def test_a_vm_has_a_thin_pool(vm_node: VmNode) -> None:
    assert "thin,pool" in vm_node.run("lvs --noheadings -o lv_layout miren/pool")


def test_a_command_on_a_node_tells_its_output_and_status(node: Node) -> None:
    outcome = node.try_to_run("echo out; echo err >&2; exit 7")

    assert outcome.status == 7
    assert outcome.console == "out\nerr\n"
    with pytest.raises(AssertionError, match="status 7"):
        node.run("exit 7")


def test_a_pod_runs_and_its_log_is_read(kubernetes: Cluster, node: Node) -> None:
    with clock(kubernetes, node):
        assert _starts(kubernetes) == 1
        assert kubernetes.kubectl("exec", "clock", "--", "hostname") == "clock\n"


@pytest.mark.pools("lvm")
def test_a_node_survives_a_power_cut(kubernetes: Cluster, vm_node: VmNode) -> None:
    with clock(kubernetes, vm_node):
        vm_node.cut_power()
        kubernetes.boot(vm_node)

        kubernetes.wait("pod/clock", "jsonpath={.status.containerStatuses[0].restartCount}=1")
        kubernetes.wait("pod/clock", "condition=Ready")
        assert _starts(kubernetes) == 2
    assert "twi-a" in vm_node.run("lvs --noheadings -o lv_attr miren/pool")


@pytest.mark.parametrize("service", ["kubelet", "containerd"])
def test_a_killed_service_comes_back_and_leaves_pods_alone(
    kubernetes: Cluster, node: Node, service: str
) -> None:
    with clock(kubernetes, node):
        kill_service(node, service)
        wait_until(lambda: _starts(kubernetes), "the pod's log can be read again", within=60)
        assert _starts(kubernetes) == 1


def _starts(kubernetes: Cluster) -> int:
    """How often the clock has started, as its log says; 0 when the log cannot be read."""
    try:
        log = kubernetes.kubectl("logs", "clock").split()
    except KubectlError:
        return 0
    return len(log) if all(word.isdecimal() for word in log) else 0


def test_what_was_stored_outlives_the_api_server(kubernetes: Cluster) -> None:
    kubernetes.kubectl("create", "configmap", "kept")
    kubernetes.control_plane.api_server.kill()
    with pytest.raises(KubectlError, match="refused"):
        kubernetes.kubectl("get", "configmap", "kept")

    kubernetes.control_plane.start_api_server()

    kubernetes.kubectl("delete", "configmap", "kept")


def test_a_user_may_do_only_what_rbac_says(kubernetes: Cluster, namespace: str) -> None:
    alice = kubernetes.as_user("alice")
    binding = ("create", "rolebinding", "alice", "--clusterrole=view", "--user=alice")
    kubernetes.kubectl(*binding, "--namespace", namespace)

    assert alice("get", "pods", "--namespace", namespace) == ""
    with pytest.raises(KubectlError, match='User "alice" cannot list resource "pods"'):
        alice("get", "pods")


def test_the_audit_log_tells_who_did_what(kubernetes: Cluster, namespace: str) -> None:
    log = kubernetes.control_plane.audit_log
    kubernetes.kubectl("create", "configmap", "before", "--namespace", namespace)
    before = log.size
    kubernetes.kubectl("create", "configmap", "noted", "--namespace", namespace)

    (request,) = (
        request
        for request in log.requests(since=before, user="admin")
        if request.verb in WRITES and request.namespace == namespace
    )
    assert (request.verb, request.resource, request.name) == ("create", "configmaps", "noted")
    assert request.status == 201


def test_pods_reach_each_other_and_the_api_server(
    kubernetes: Cluster, node: Node, second_node: Node, namespace: str
) -> None:
    kubernetes.apply(_pod("server", namespace, node, "exec httpd -f -p 8080 -h /etc"))
    kubernetes.wait("pod/server", "condition=Ready", namespace=namespace)
    address = kubernetes.get("pod", "server", namespace=namespace)["status"]["podIP"]
    asking = (
        f"wget -q -O - http://{address}:8080/group; nc -w 5 10.96.0.1 443 </dev/null && echo up"
    )
    kubernetes.apply(_pod("client", namespace, second_node, asking))

    done = "jsonpath={.status.phase}=Succeeded"
    kubernetes.wait("pod/client", done, namespace=namespace)
    log = kubernetes.kubectl("logs", "client", "--namespace", namespace)
    assert log.splitlines() == ["root:x:0:", "up"]


def _pod(name: str, namespace: str, node: Node, command: str) -> str:
    container = {"name": "main", "image": "busybox:1.35", "command": ["sh", "-c", command]}
    spec = {
        "nodeName": node.name,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    metadata = {"name": name, "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("pool", Pool)
def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path, pool: Pool) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_text("no image")
    folder = tmp_path / "failing"
    cluster = Cluster(folder, pool, usable_cpus())
    cluster.load(broken)
    assert _processes_of(folder, cluster)

    with pytest.raises(NodeError, match="node-1 has stopped"):
        cluster.up()

    assert _processes_of(folder, cluster) == []
    assert list(folder.rglob("*.img")) == []
    assert _loop_devices(str(folder)) == 0


def test_a_container_takes_its_loop_devices_with_it(tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", Pool.LOOP, usable_cpus()).up() as cluster:
        (node,) = cluster.nodes
        file = f"{uuid.uuid4().hex}.img"
        # One of the other, as kubelet holds raw devices.
        node.run(f"truncate -s 1M /var/{file}; losetup -f $(losetup -f --show /var/{file})")
        assert _loop_devices(file, str(tmp_path)) == 2

    assert _loop_devices(file, str(tmp_path)) == 0


def _loop_devices(*words: str) -> int:
    """How many of this machine have files whose paths contain one of these."""
    command = ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return sum(any(word in file for word in words) for file in listed.stdout.splitlines())


def _processes_of(folder: Path, cluster: Cluster) -> list[str]:
    """Processes that have to do with a folder, or are in its cluster's network namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text()
            network = str((process / "ns" / "net").readlink())
            if str(folder) in command or network == cluster.network.identity:
                found.append(command)
    return found
