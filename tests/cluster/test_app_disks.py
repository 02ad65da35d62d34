"""The app.toml way: what `kubectl miren translate --only disks` prints, applied and used."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.apps import Apps, Manifest, new_namespace, pod
from tests.cluster.cluster import Cluster
from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.programs import KUBECTL_MIREN
from tests.cluster.waiting import wait_until

SOON = 30.0
GIB = 1 << 30


class App:
    """An app that is called like its one disk, whose name nobody else uses."""

    def __init__(self, kubernetes: Cluster) -> None:
        self._kubernetes = kubernetes
        self.disk = f"shop-{uuid.uuid4().hex[:6]}"

    def manifests(self, namespace: str, *keys: str) -> list[Manifest]:
        """Its disks in a namespace, as translated from an app.toml whose disk has these keys."""
        lines = [
            f'name = "{self.disk}"',
            '[services.db]\nimage = "db"',
            f'[[services.db.disks]]\nname = "{self.disk}"\nmount_path = "/data"',
            *keys,
        ]
        words = ("translate", "-", "--only", "disks", "--namespace", namespace, "-o", "json")
        toml = "\n".join(lines)
        printed = subprocess.run(
            [KUBECTL_MIREN, *words], input=toml, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found: Any = json.loads(printed)
        items: list[Manifest] = found["items"]
        return items

    def deploy(self, apps: Apps, *keys: str) -> None:
        """Apply its disks."""
        apps.apply(*self.manifests(apps.namespace, *keys))

    def remove(self, apps: Apps, instance: str, *, volume: bool = False) -> None:
        """Delete a pod and its claim, and the PersistentVolume too if asked."""
        apps.delete("pod", instance)
        apps.delete("pvc", self.disk)
        if volume:
            apps.delete("pv", self.disk)


@pytest.fixture
def app(kubernetes: Cluster) -> App:
    return App(kubernetes)


@pytest.fixture
def other_team(kubernetes: Cluster) -> Iterator[Apps]:
    """A second namespace."""
    with new_namespace(kubernetes) as name:
        yield Apps(kubernetes, name)


def row(apps: Apps, name: str) -> tuple[str, str, str]:
    """What `kubectl get pv` shows: capacity, status, claim."""
    found = apps.get("pv", name)
    claim = found["spec"]["claimRef"]
    size = found["spec"]["capacity"]["storage"]
    return size, found["status"]["phase"], f"{claim['namespace']}/{claim['name']}"


def wait_told(apps: Apps, about: str, sentence: str) -> None:
    """Until an Event about an object says it; `sentence` is a regular expression."""
    wait_until(
        lambda: any(re.search(sentence, message) for message in apps.events(about)),
        f"{about} is told: {sentence}",
        within=SOON,
    )


def test_a_disk_is_made_at_first_use_and_outlives_its_app(
    driver: Driver, node: Node, apps: Apps, app: App
) -> None:
    app.deploy(apps, "size_gb = 2", 'filesystem = "xfs"')
    apps.start("v1", {"/data": app.disk})
    apps.run("v1", "echo monday >/data/log; sync")
    assert row(apps, app.disk) == ("2Gi", "Bound", f"{apps.namespace}/{app.disk}")
    assert driver.holder(app.disk) == f"{apps.namespace}/v1"
    assert apps.run("v1", "awk '$2 == \"/data\" {print $3}' /proc/mounts") == "xfs\n"
    (made,) = (line for line in node.volumes().splitlines() if line.startswith(f"disk-{app.disk}-"))
    assert made.split()[1] == str(2 * GIB)
    assert f'"created_by":"{app.disk}"' in made

    app.remove(apps, "v1")
    app.deploy(apps, "size_gb = 2", 'filesystem = "xfs"')
    apps.start("v2", {"/data": app.disk})
    assert apps.run("v2", "cat /data/log; echo tuesday >>/data/log; sync") == "monday\n"

    app.remove(apps, "v2", volume=True)
    app.deploy(apps)  # a disk that exists needs no size
    apps.start("v3", {"/data": app.disk})
    assert apps.run("v3", "cat /data/log") == "monday\ntuesday\n"
    wait_until(
        lambda: row(apps, app.disk)[:2] == (str(2 * GIB), "Bound"),
        "the PV shows its size",
        within=SOON,
    )


def test_an_app_gets_a_disk_whose_volume_came_back_by_itself(
    driver: Driver,  # noqa: ARG001 - installed
    apps: Apps,
    app: App,
) -> None:
    app.deploy(apps, "size_gb = 1")
    apps.start("v1", {"/data": app.disk})
    apps.run("v1", "echo monday >/data/log; sync")
    app.remove(apps, "v1", volume=True)
    wait_until(
        lambda: app.disk in apps.kubectl("get", "pv", "-o", "name"),
        "every disk is shown again",
        within=SOON,
    )

    app.deploy(apps, "size_gb = 2", 'filesystem = "btrfs"')
    apps.start("v2", {"/data": app.disk})

    assert apps.run("v2", "cat /data/log") == "monday\n"
    # The volume had to be as large as was asked for until the claim was bound.
    wait_until(
        lambda: row(apps, app.disk) == (str(GIB), "Bound", f"{apps.namespace}/{app.disk}"),
        "the PV shows its size",
        within=SOON,
    )


def test_another_namespace_gets_it_once_the_old_claim_is_gone(
    driver: Driver, apps: Apps, other_team: Apps, app: App
) -> None:
    app.deploy(apps, "size_gb = 1")
    apps.start("v1", {"/data": app.disk})
    apps.run("v1", "echo monday >/data/log; sync")

    app.deploy(other_team, "size_gb = 1")
    mine = f"{apps.namespace}/{app.disk}"
    told = f'disk "{app.disk}" is claimed by {mine}; delete that claim first'
    wait_told(other_team, app.disk, told)
    app.deploy(other_team, "size_gb = 1")  # now that its claim is there already
    wait_until(lambda: row(apps, app.disk)[1:] == ("Bound", mine), "it stays mine", within=SOON)
    assert other_team.get("pvc", app.disk)["status"]["phase"] == "Pending"
    assert apps.get("pvc", app.disk)["status"]["phase"] == "Bound"
    assert driver.holder(app.disk) == f"{apps.namespace}/v1"

    app.remove(apps, "v1")
    other_team.start("v2", {"/data": app.disk})
    assert other_team.run("v2", "cat /data/log") == "monday\n"
    assert row(apps, app.disk)[2] == f"{other_team.namespace}/{app.disk}"
    assert driver.holder(app.disk) == f"{other_team.namespace}/v2"


def test_an_unknown_disk_without_a_size_is_told(
    driver: Driver,  # noqa: ARG001 - installed
    apps: Apps,
    app: App,
) -> None:
    app.deploy(apps)
    apps.apply(pod("v1", {"/data": app.disk}))

    told = f'disk "{app.disk}" does not exist and no size specified for auto-creation'
    for about in ("v1", app.disk):
        wait_told(apps, about, told)
    assert apps.get("pod", "v1")["status"]["phase"] == "Pending"

    app.deploy(apps, "size_gb = 1")
    apps.ready("v1")


def test_an_instance_waits_for_as_long_as_app_toml_says(
    driver: Driver,  # noqa: ARG001 - installed
    apps: Apps,
    app: App,
) -> None:
    app.deploy(apps, "size_gb = 1", 'lease_timeout = "5s"')
    apps.start("v1", {"/data": app.disk})
    apps.apply(pod("v2", {"/data": app.disk}))

    held = rf'disk "{app.disk}" is held by {apps.namespace}/v1, since [0-9hms]+; '
    late = rf"{held}{apps.namespace}/v2 waited longer than its lease_timeout of 5s: "
    for sentence in (f"{held}waiting up to 5s", late):
        wait_told(apps, "v2", sentence)

    apps.delete("pod", "v1")
    apps.ready("v2")


def test_a_local_disk_is_shared_by_the_pods_of_its_app(
    driver: Driver, apps: Apps, app: App
) -> None:
    disk = f"local/{app.disk}/{app.disk}"
    local = app.manifests(apps.namespace, 'provider = "local"')
    (name,) = (one["metadata"]["name"] for one in local if one["kind"] == "PersistentVolume")
    apps.apply(*local)
    apps.apply(*(pod(one, {"/data": name}) for one in ("web", "worker")))
    for one in ("web", "worker"):
        apps.ready(one)
    apps.run("web", "echo monday >/data/log; sync")

    assert apps.run("worker", "cat /data/log") == "monday\n"
    assert apps.get("pv", name)["spec"]["csi"]["volumeHandle"] == disk
    assert disk not in driver.kubectl("get", "lease", "-o", "yaml")

    apps.delete("pod", "web", "worker")
    apps.delete("pvc,pv", name)
    apps.apply(*local)
    apps.start("web", {"/data": name})
    assert apps.run("web", "cat /data/log") == "monday\n"
