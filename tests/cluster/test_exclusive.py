"""One holder: whoever else wants a disk waits, is told why, and gets it when the holder is gone."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.cluster.apps import Apps, Manifest, claim, pod, pod_spec
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

SOON = 30.0
"""Seconds within which a pod that waits runs once the disk is free."""

CONTROLLER = "unix:///csi/csi.sock"
NODE = "unix:///var/lib/kubelet/plugins/disk.csi.miren.dev/csi.sock"
Call = tuple[str, Mapping[str, object]]
WRITER = {
    "access_mode": {"mode": "SINGLE_NODE_SINGLE_WRITER"},
    "mount": {"fs_type": "ext4"},
}


def held_by(volume: str, holder: str) -> str:
    """The sentence of an Event, as a regular expression."""
    return rf'disk "{volume}" is held by {holder}, since [0-9hms]+; waiting up to 5m'


def wait_told(apps: Apps, about: str, sentence: str) -> None:
    """Until an Event about an object says it; `sentence` is a regular expression."""
    wait_until(
        lambda: any(re.search(sentence, message) for message in apps.events(about)),
        f"{about} is told: {sentence}",
        within=SOON,
    )


def lease(driver: Driver, volume: str) -> tuple[str, str, int]:
    """Holder, state, and how often it changed hands."""
    found = driver.lease(volume)
    spec = found["spec"]
    state = found["metadata"]["labels"]["disk.miren.dev/state"]
    return spec.get("holderIdentity") or "", state, spec["leaseTransitions"]


def wait_lease(driver: Driver, volume: str, *expected: str | int) -> None:
    """Until the lease has this holder, state and number of changes."""
    wait_until(lambda: lease(driver, volume) == expected, f"the lease is {expected}", within=SOON)


class Plugins:
    """The driver's two plugins, called directly, as neither sidecars nor kubelet would.

    Each call is a method and its request; its answer is OK, or a status code and a sentence.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def controller(self, *calls: Call) -> list[str]:
        """Make calls to the Controller service, one after the other."""
        container = ("deployment/miren-csi-controller", "--container=driver")
        return [self._make(container, CONTROLLER, call) for call in calls]

    def node(self, *calls: Call) -> list[str]:
        """Make calls to the Node service."""
        return [self._make(("daemonset/miren-csi-node",), NODE, call) for call in calls]

    def _make(self, container: Sequence[str], endpoint: str, call: Call) -> str:
        # The status is no news: the answer tells it.
        program = ("sh", "-c", 'miren-csi call --endpoint "$0" "$@" || true', endpoint)
        method, request = call
        words = ("exec", *container, "--", *program, method, json.dumps(request))
        answer = json.loads(self._driver.kubectl(*words))
        return f"{answer['code']} {answer['message']}" if "code" in answer else "OK"


@pytest.fixture
def plugins(driver: Driver) -> Plugins:
    return Plugins(driver)


class Held:
    """A disk and the pod `holder` that has it, at /data."""

    def __init__(self, apps: Apps) -> None:
        self.apps = apps
        apps.apply(claim("data"))
        apps.start("holder", {"/data": "data"})
        apps.run("holder", "echo first >/data/log")
        self.volume = str(apps.volume_of("data")["metadata"]["name"])
        self.holder = f"{apps.namespace}/holder"

    def assert_untouched(self, driver: Driver) -> None:
        """The holder has the disk as before, and its data."""
        assert lease(driver, self.volume) == (self.holder, "bound", 0)
        self.apps.run("holder", "echo more >>/data/log; sync")
        assert self.apps.run("holder", "head -n 1 /data/log") == "first\n"


@pytest.fixture(scope="module")
def held(kubernetes: Cluster, driver: Driver) -> Iterator[Held]:  # noqa: ARG001 - installed
    """What tests that refuse a second writer share: they leave it as it is."""
    name = f"held-{uuid.uuid4().hex[:8]}"
    kubernetes.kubectl("create", "namespace", name)
    yield Held(Apps(kubernetes, name))
    kubernetes.kubectl("delete", "namespace", name, "--wait=false")


def test_the_second_pod_waits_and_starts_after_the_first(driver: Driver, apps: Apps) -> None:
    apps.apply(claim("data"))
    apps.start("first", {"/data": "data"})
    apps.run("first", "echo one >/data/log; sync")
    volume = apps.volume_of("data")["metadata"]["name"]
    first, second, third = (f"{apps.namespace}/{name}" for name in ("first", "second", "third"))
    assert lease(driver, volume) == (first, "bound", 0)

    apps.apply(pod("second", {"/data": "data"}))
    told = held_by(volume, first)
    wait_told(apps, "second", told)
    wait_told(apps, "data", told)
    wait_told(apps, "second", "ReadWriteOncePod access mode already in-use by another pod")
    assert apps.get("pod", "second")["status"]["phase"] == "Pending"
    assert lease(driver, volume) == (first, "bound", 0)

    apps.delete("pod", "first")
    apps.ready("second", within=SOON)
    wait_lease(driver, volume, second, "bound", 1)
    apps.run("second", "echo two >>/data/log; sync")

    apps.apply(pod("third", {"/data": "data"}))
    wait_told(apps, "third", held_by(volume, second))
    apps.delete("pod", "second", "--force", "--grace-period=0")
    apps.ready("third", within=SOON)
    wait_lease(driver, volume, third, "bound", 2)
    assert apps.run("third", "cat /data/log") == "one\ntwo\n"

    apps.delete("pod", "third")
    wait_lease(driver, volume, "", "released", 2)


def test_a_deployment_is_redeployed_without_failure_or_loss(driver: Driver, apps: Apps) -> None:
    apps.apply(claim("data"), deployment("web", "data"))
    for round_ in range(4):
        if round_:
            apps.kubectl("rollout", "restart", "deployment/web")
        apps.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
        (now,) = apps.get("pods")["items"]
        name = now["metadata"]["name"]
        apps.run(name, f"echo {round_} >>/data/log; sync")
        volume = apps.volume_of("data")["metadata"]["name"]
        wait_lease(driver, volume, f"{apps.namespace}/{name}", "bound", round_)
        assert now["status"]["containerStatuses"][0]["restartCount"] == 0

    assert apps.run(name, "cat /data/log") == "0\n1\n2\n3\n"
    found = apps.get("events", "--field-selector=type=Warning")["items"]
    # No node of a test has a DNS, which kubelet tells of each pod.
    about_us = [event for event in found if event["reason"] != "MissingClusterDNS"]
    assert [event["message"] for event in about_us] == []


def deployment(name: str, claim_name: str) -> Manifest:
    """A Deployment of one pod that has a claim at /data."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": pod_spec({"/data": claim_name}),
            },
        },
    }


def test_kubelet_refuses_a_pod_that_bypassed_the_scheduler(
    driver: Driver, node: Node, held: Held
) -> None:
    apps = held.apps
    apps.apply(pod("bypass", {"/data": "data"}, nodeName=node.name))

    refused = "uses the ReadWriteOncePod access mode and is already in use by another pod"
    wait_told(apps, "bypass", refused)
    wait_told(apps, "bypass", held_by(held.volume, held.holder))
    assert apps.get("pod", "bypass")["status"]["phase"] == "Pending"
    held.assert_untouched(driver)
    apps.delete("pod", "bypass")


def test_the_controller_refuses_another_pod(
    driver: Driver, node: Node, plugins: Plugins, held: Held
) -> None:
    other = {
        "csi.storage.k8s.io/pod.namespace": held.apps.namespace,
        "csi.storage.k8s.io/pod.name": "other",
    }
    fields = {
        "volume_id": held.volume,
        "node_id": node.name,
        "volume_capability": WRITER,
        "volume_context": other,
    }
    (refusal,) = plugins.controller(("ControllerPublishVolume", fields))

    assert re.fullmatch(f"ABORTED {held_by(held.volume, held.holder)}", refusal), refusal
    held.assert_untouched(driver)


@pytest.fixture
def second_place(node: Node) -> Iterator[str]:
    """A folder for paths that kubelet would not ask for."""
    folder = "/var/lib/kubelet/plugins/disk.csi.miren.dev/second"
    node.run(f"mkdir -p {folder}/staging")
    yield folder
    node.run(f"umount {folder}/* 2>/dev/null; rm -r --one-file-system {folder}")


def test_the_node_plugin_refuses_a_second_place(
    driver: Driver, node: Node, plugins: Plugins, held: Held, second_place: str
) -> None:
    fields = {"volume_id": held.volume, "volume_capability": WRITER}
    staged = {"staging_target_path": staging_of(node, held.volume)}
    published, restaged = plugins.node(
        ("NodePublishVolume", fields | staged | {"target_path": f"{second_place}/target"}),
        ("NodeStageVolume", fields | {"staging_target_path": f"{second_place}/staging"}),
    )

    disk = f'FAILED_PRECONDITION disk "{held.volume}" is'
    pod_path = r"/var/lib/kubelet/pods/\S+/mount"
    one = "already, and SINGLE_NODE_SINGLE_WRITER allows one target only"
    assert re.fullmatch(f"{disk} published at {pod_path} {one}", published), published
    first = rf"{disk} in use at .*{pod_path}; unpublish and unstage it first"
    assert re.fullmatch(first, restaged), restaged
    assert node.try_to_run(f"grep {second_place}/ /proc/mounts").status != 0
    held.assert_untouched(driver)


def staging_of(node: Node, volume: str) -> str:
    """Where kubelet has a disk staged."""
    facts = "/var/lib/kubelet/plugins/kubernetes.io/csi/*/*/vol_data.json"
    found = node.run(f"grep --files-with-matches '\"{volume}\"' {facts}")
    return found.strip().replace("vol_data.json", "globalmount")
