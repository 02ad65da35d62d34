"""The pods of the driver as they run: their privileges, what they say of themselves, csi-sanity."""

import functools
import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.apps import Apps, claim
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.pools("lvm")

PLUGINS = ("controller", "node")
SIDECARS = ("csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
KUBELET = "/var/lib/kubelet"
PUBLISH = ("ControllerPublishVolume", "NodePublishVolume")
MIB = 1 << 20
FIGURES_AGE = 5.0
"""Seconds: an answer to /metrics may be as old."""


def test_the_node_plugin_has_no_token(driver: Driver) -> None:
    look = ("--container", "driver", "--", "ls", TOKEN)

    assert driver.kubectl("exec", driver.pod("controller"), *look) == f"{TOKEN}\n"
    with pytest.raises(KubectlError, match="No such file"):
        driver.kubectl("exec", driver.pod("node"), *look)


def test_only_the_node_plugin_is_privileged(kubernetes: Cluster, driver: Driver) -> None:
    pods = {driver.pod(plugin): plugin for plugin in PLUGINS}
    found = kubernetes.get("pods", namespace=NAMESPACE)["items"]
    privileged = {
        (pods.get(pod["metadata"]["name"]), container["name"])
        for pod in found
        for kind in ("containers", "initContainers")
        for container in pod["spec"].get(kind, [])
        if container.get("securityContext", {}).get("privileged")
    }
    assert privileged == {("node", "driver")}


@pytest.mark.parametrize("program", ["miren-csi controller", *SIDECARS])
def test_the_controller_has_no_privileges(driver: Driver, node: Node, program: str) -> None:  # noqa: ARG001
    process = f"$(pgrep -f '{program}' | head -n 1)"
    status = node.run(f"cat /proc/{process}/status")
    fields = dict(re.findall(r"(?m)^(\w+):\s*(.*)$", status))

    for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(fields[capabilities], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert set(fields["Uid"].split()) == {"65532"}
    root = node.run(f"grep ' / ' /proc/{process}/mounts")
    assert re.search(r" / overlay ro,", root)


class Pages:
    """What a plugin's pod serves over HTTP, asked for through the API server."""

    def __init__(self, driver: Driver, plugin: str) -> None:
        self._driver = driver
        self._pod = driver.pod(plugin)

    def get(self, page: str) -> str:
        """A page; raises KubectlError unless its status is 200."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self._pod}:9808/proxy/{page}"
        return self._driver.kubectl("get", "--raw", path)

    def says(self, *, ready: bool) -> bool:
        """Whether that is what /readyz says."""
        try:
            return (self.get("readyz") == "ok") == ready
        except KubectlError as error:
            if "ServiceUnavailable" not in str(error):
                raise
            return not ready

    def figures(self) -> dict[str, float]:
        """The samples of /metrics, by name and labels."""
        lines = (
            line.rpartition(" ") for line in self.get("metrics").splitlines() if line[0] != "#"
        )
        return {sample: float(value) for sample, _, value in lines}


@pytest.fixture
def nothing_ends(kubernetes: Cluster) -> None:
    """What other tests have deleted is gone, and changes no figures any more."""

    def all_active() -> bool:
        namespaces = kubernetes.get("namespaces")["items"]
        return all(one["status"]["phase"] == "Active" for one in namespaces)

    wait_until(all_active, "no namespace is ending", within=120)


def test_the_plugins_tell_what_is_there(
    driver: Driver,
    node: Node,
    nothing_ends: None,  # noqa: ARG001
    apps: Apps,
) -> None:
    plugins = [Pages(driver, plugin) for plugin in PLUGINS]
    here = f'{{node="{node.name}"}}'
    disks, promised = (f"miren_csi_pool_{name}{here}" for name in ("disks", "promised_bytes"))
    held = 'miren_csi_leases{state="bound"}'
    before = [pages.figures() for pages in plugins]
    pool = before[1]
    assert pool[f"miren_csi_pool_up{here}"] == 1
    assert pool[disks] == int(node.run("lvs --noheadings -S 'pool_lv=pool' miren | wc -l"))

    apps.apply(claim("data", size="64Mi"))
    apps.start("db", {"/data": "data"})
    time.sleep(FIGURES_AGE)
    after = [pages.figures() for pages in plugins]

    assert after[1][disks] == pool[disks] + 1
    assert after[1][promised] == pool[promised] + 64 * MIB
    assert after[0][held] == before[0][held] + 1
    for call, old, new in zip(PUBLISH, before, after, strict=True):
        count = f'miren_csi_call_duration_seconds_count{{code="OK",method="{call}"}}'
        assert new[count] > old.get(count, 0)


@pytest.fixture
def lost_pool(node: Node) -> Iterator[Callable[[], None]]:
    """The thin pool is not there under its name; call it to bring it back."""
    node.run("vgrename miren lost")

    def bring_back() -> None:
        node.run("vgs lost 2>/dev/null >/dev/null && vgrename lost miren || vgs miren")

    yield bring_back
    bring_back()


def test_a_plugin_is_healthy_but_not_ready_without_its_pool(
    driver: Driver, lost_pool: Callable[[], None]
) -> None:
    plugins = [Pages(driver, plugin) for plugin in PLUGINS]
    for pages in plugins:
        wait_until(functools.partial(pages.says, ready=False), "it is not ready", within=20)
        assert pages.get("healthz") == "ok"

    lost_pool()

    for pages in plugins:
        wait_until(functools.partial(pages.says, ready=True), "it is ready", within=20)
    driver.ready()


@pytest.fixture
def sanity(kubernetes: Cluster, driver: Driver, node: Node) -> Iterator[str]:
    """What csi-sanity says of the plugins' sockets, on the node, where also kubelet calls them."""
    uid = kubernetes.get("pod", driver.pod("controller"), namespace=NAMESPACE)["metadata"]["uid"]
    empty_dir = f"{KUBELET}/pods/{uid}/volumes/kubernetes.io~empty-dir/socket"
    folder = f"{KUBELET}/csi-sanity"
    options = {
        "csi.endpoint": f"unix://{KUBELET}/plugins/disk.csi.miren.dev/csi.sock",
        "csi.controllerendpoint": f"unix://{empty_dir}/csi.sock",
        "csi.mountdir": f"{folder}/mount",
        "csi.stagingdir": f"{folder}/staging",
        "csi.testvolumesize": 256 * MIB,
        "csi.testvolumeexpandsize": 512 * MIB,
        "csi.testvolumemutableparameters": f"{folder}/mutable.yaml",
        "ginkgo.no-color": "true",
        "ginkgo.seed": 1,
        "ginkgo.timeout": "9m",
    }
    command = " ".join([str(go_program("csi-sanity")), *(f"--{k}={v}" for k, v in options.items())])
    volumes = _volumes(kubernetes)
    node.run(f"mkdir -p {folder}; echo 'readAheadKiB: \"512\"' >{folder}/mutable.yaml")
    yield node.try_to_run(command, within=600).console
    node.run(f"rm -r {folder}")
    # Disks that lived for long enough were mirrored; their volumes outlive them.
    if left := _volumes(kubernetes) - volumes:
        kubernetes.kubectl("delete", "pv", *left)


def _volumes(kubernetes: Cluster) -> set[str]:
    return {volume["metadata"]["name"] for volume in kubernetes.get("pv")["items"]}


def test_csi_sanity_passes(
    node: Node, sanity: str, record_property: Callable[[str, object], None]
) -> None:
    ran = re.search(r"Ran (\d+ of \d+) Specs in (\d+)", sanity)
    ended = re.search(r"(\d+) Passed \| (\d+) Failed \| (\d+) Pending \| (\d+) Skipped", sanity)
    assert ran, sanity
    assert ended, sanity
    record_property(
        "summary", f"csi-sanity, deployed: ran {ran[1]} specs in {ran[2]} s: {ended[0]}"
    )

    if int(ended[2]):
        pytest.fail(sanity.partition("Summarizing")[2] or sanity, pytrace=False)
    # Skipped: how many volumes a node can have, for there is no limit. Pending: inside csi-sanity.
    assert [int(count) for count in ended.groups()] == [101, 0, 1, 1], ended[0]
    assert node.run("grep -c csi-sanity /proc/mounts || true") == "0\n"
