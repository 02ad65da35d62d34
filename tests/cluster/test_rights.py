"""What the driver may do, and what its users may not do with it."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator

import pytest

from csi import DRIVER_NAME
from csi.persistent_volume import PersistentVolume
from tests.cluster.apps import Apps, claim, pod
from tests.cluster.audit import Request
from tests.cluster.cluster import Cluster
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.grants import Grant, grants_of
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.story import (
    GROUP_SNAPSHOTS,
    PASSING,
    SNAPSHOTS,
    Story,
    snapshot,
    storage_class,
    told,
)
from tests.cluster.waiting import wait_until

CONTROLLER = "miren-csi-controller"
NODE_PLUGIN = "miren-csi-node"


def account(name: str) -> str:
    """The user that the API server sees."""
    return f"system:serviceaccount:{NAMESPACE}:{name}"


@pytest.fixture(scope="module")
def passing(kubernetes: Cluster) -> Iterator[None]:
    """A storage class for tests that wait for no pod."""
    kubernetes.apply(json.dumps(storage_class(PASSING)))
    yield
    kubernetes.kubectl("delete", "storageclass", PASSING)


@pytest.fixture(scope="module")
def group_snapshots(node: Node, driver: Driver) -> None:
    """The driver takes snapshots of several disks too, from the first test on that asks for it."""
    driver.install(node, ["group-snapshots"])


@pytest.fixture(scope="module")
def began(
    kubernetes: Cluster,
    driver: Driver,  # noqa: ARG001
    passing: None,  # noqa: ARG001
    group_snapshots: None,  # noqa: ARG001
) -> int:
    """When the audit log began to tell the whole story, which is over now."""
    before = kubernetes.control_plane.audit_log.size
    kubernetes.kubectl("create", "namespace", "story")
    try:
        Story(Apps(kubernetes, "story")).tell()
        return before
    finally:
        kubernetes.kubectl("delete", "namespace", "story", "--wait=false")


def refused(kubernetes: Cluster, since: int = 0) -> list[Request]:
    log = kubernetes.control_plane.audit_log
    requests = log.requests(since=since, user=account(CONTROLLER))
    return [request for request in requests if request.status == 403]


def test_nothing_that_the_driver_does_is_refused(kubernetes: Cluster, began: int) -> None:
    # Elsewhere a namespace may be ending, in which nothing can be created any more: a 403 as well.
    here = {"", NAMESPACE, "story"}
    assert [one for one in refused(kubernetes, began) if one.namespace in here] == []


def test_group_snapshots_are_asked_for_only_with_their_component(
    kubernetes: Cluster,
    began: int,  # noqa: ARG001 - before it there was only the component for snapshots
) -> None:
    assert [one for one in refused(kubernetes) if one.group == GROUP_SNAPSHOTS] == []


def test_the_driver_has_no_right_that_it_does_not_need(kubernetes: Cluster, began: int) -> None:  # noqa: ARG001
    """Each right is the only one that allows some request: without it, that would be refused."""
    granted = grants_of(kubernetes, CONTROLLER, NAMESPACE)
    needed = set()
    # From the cluster's start on: some things the driver does only when it is installed.
    for request in kubernetes.control_plane.audit_log.requests(user=account(CONTROLLER)):
        enough = [grant for grant in granted if grant.allows(request)]
        needed |= {*enough} if len(enough) == 1 else set()

    assert granted
    assert sorted(granted - needed) == []


def test_the_node_plugin_has_no_rights_and_asks_for_nothing(
    kubernetes: Cluster,
    began: int,  # noqa: ARG001
) -> None:
    assert grants_of(kubernetes, NODE_PLUGIN, NAMESPACE) == set()
    requests = kubernetes.control_plane.audit_log.requests(user=account(NODE_PLUGIN))
    assert [*requests] == []


@contextlib.contextmanager
def without(kubernetes: Cluster, kind: str, name: str, resource: str, verb: str) -> Iterator[None]:
    """One of our roles lacks one verb on one resource meanwhile."""
    role = kubernetes.get(kind, name, namespace=NAMESPACE)
    with_it = json.dumps({"rules": role["rules"]})
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    patch = ("patch", kind, name, "--namespace", NAMESPACE, "--type=merge", "--patch")
    kubernetes.kubectl(*patch, json.dumps({"rules": role["rules"]}))
    try:
        yield
    finally:
        kubernetes.kubectl(*patch, with_it)


def test_without_one_right_no_volume_is_provisioned(
    driver: Driver,  # noqa: ARG001
    passing: None,  # noqa: ARG001
    kubernetes: Cluster,
    apps: Apps,
) -> None:
    log = kubernetes.control_plane.audit_log
    right = Grant("", "persistentvolumes", "create")
    before = log.size

    def is_refused() -> bool:
        requests = log.requests(since=before, user=account(CONTROLLER))
        return any(right.allows(request) and request.status == 403 for request in requests)

    with without(kubernetes, "clusterrole", "miren-csi-sidecars", right.resource, right.verb):
        apps.apply(claim("data", storage_class=PASSING))
        wait_until(is_refused, "the volume is refused", within=30)
        assert apps.get("pvc", "data")["status"]["phase"] == "Pending"

    apps.wait("pvc/data", "jsonpath={.status.phase}=Bound")


def test_without_one_right_no_disk_is_leased(
    driver: Driver,  # noqa: ARG001
    kubernetes: Cluster,
    apps: Apps,
) -> None:
    with without(kubernetes, "role", "miren-csi-driver", "leases", "create"):
        apps.apply(claim("data"), pod("db", {"/data": "data"}))
        told(apps, "db", 'cannot create resource "leases"')

    apps.ready("db")


THEIRS = "other-team"


@pytest.fixture(scope="module")
def theirs(
    kubernetes: Cluster,
    driver: Driver,  # noqa: ARG001
    passing: None,  # noqa: ARG001
) -> Iterator[Apps]:
    """A namespace of another team, with a disk, `data`, and a snapshot of it, `copy`."""
    kubernetes.kubectl("create", "namespace", THEIRS)
    apps = Apps(kubernetes, THEIRS)
    apps.apply(claim("data", storage_class=PASSING))
    apps.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    apps.apply(snapshot("copy", persistentVolumeClaimName="data"))
    apps.wait("volumesnapshot/copy", "jsonpath={.status.readyToUse}=true")
    yield apps
    kubernetes.kubectl("delete", "namespace", THEIRS, "--wait=false")


@pytest.fixture
def member(kubernetes: Cluster, namespace: str) -> Callable[..., str]:
    """kubectl of somebody who may edit what is in the test's namespace, and nothing else."""
    here = ("--namespace", namespace)
    snapshots = f"volumesnapshots.{SNAPSHOTS}"
    kubernetes.kubectl(
        "create", "role", "snapshots", "--verb=get,create", "--resource", snapshots, *here
    )
    for role in ("--clusterrole=edit", "--role=snapshots"):
        name = role.rpartition("=")[2]
        kubernetes.kubectl("create", "rolebinding", name, role, "--user=alice", *here)
    return functools.partial(kubernetes.as_user("alice"), *here)


FORBIDDEN = (
    "get pv",
    "patch pv {volume} -p {{}}",
    "delete pv {volume}",
    "get leases -n miren-system",
    "patch lease {volume} -n miren-system -p {{}}",
    "delete lease {volume} -n miren-system",
    "get pods -n miren-system",
    "exec deployment/miren-csi-controller -n miren-system -- true",
    "get pvc -n other-team",
    "patch csidriver disk.csi.miren.dev -p {{}}",
)


def test_a_user_reaches_neither_volumes_nor_the_driver(
    theirs: Apps, member: Callable[..., str]
) -> None:
    volume = theirs.get("pvc", "data")["spec"]["volumeName"]
    for command in FORBIDDEN:
        with pytest.raises(KubectlError, match=r'(?i)forbidden: User "alice" cannot'):
            member(*command.format(volume=volume).split())


def test_a_user_cannot_name_a_disk_in_a_volume(
    theirs: Apps, namespace: str, member: Callable[..., str]
) -> None:
    handle = theirs.volume_of("data")["spec"]["csi"]["volumeHandle"]
    mine = {"namespace": namespace, "name": "data"}
    volume = PersistentVolume(handle, "64Mi", mine).manifest()
    volume["metadata"]["name"] = "mine"

    with pytest.raises(KubectlError, match='"alice" cannot create resource "persistentvolumes"'):
        member("create", "-f", "-", stdin=json.dumps(volume))


def test_a_user_cannot_name_a_disk_in_a_pod(
    theirs: Apps, apps: Apps, member: Callable[..., str]
) -> None:
    attributes = {"copyOf": theirs.volume_of("data")["spec"]["csi"]["volumeHandle"]}
    inline = {"name": "data", "csi": {"driver": DRIVER_NAME, "volumeAttributes": attributes}}
    thief = pod("thief", {"/data": "data"}, volumes=[inline])
    member("create", "-f", "-", stdin=json.dumps(thief))

    told(apps, "thief", f'a pod of namespace "{apps.namespace}" cannot have an inline volume')


def test_a_claim_for_the_volume_of_another_namespace_waits(
    theirs: Apps, apps: Apps, member: Callable[..., str]
) -> None:
    volume = theirs.get("pvc", "data")["spec"]["volumeName"]
    mine = claim("mine", volume=volume, storage_class=PASSING)
    member("create", "-f", "-", stdin=json.dumps(mine))

    told(apps, "mine", f'disk "{volume}" is claimed by {THEIRS}/data; delete that claim first')
    assert apps.get("pvc", "mine")["status"]["phase"] == "Pending"
    assert theirs.volume_of("data")["spec"]["claimRef"]["namespace"] == THEIRS


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "PersistentVolumeClaim", "name": "data"},
        {"apiGroup": SNAPSHOTS, "kind": "VolumeSnapshot", "name": "copy"},
    ],
    ids=lambda source: source["kind"],
)
def test_a_copy_of_a_disk_of_another_namespace_is_not_made(
    theirs: Apps,  # noqa: ARG001
    apps: Apps,
    member: Callable[..., str],
    source: dict[str, str],
) -> None:
    member(
        "create", "-f", "-", stdin=json.dumps(claim("here", source=source, storage_class=PASSING))
    )
    there = claim("there")
    there["spec"]["dataSourceRef"] = {**source, "namespace": THEIRS}
    member("create", "-f", "-", stdin=json.dumps(there))

    # A source in another namespace is nothing that Kubernetes passes on: the disk will be empty.
    assert "dataSourceRef" not in apps.get("pvc", "there")["spec"]
    told(apps, "here", f'"{source["name"]}" not found')
    assert apps.get("pvc", "here")["status"]["phase"] == "Pending"


def test_a_snapshot_of_a_disk_of_another_namespace_is_not_made(
    theirs: Apps, apps: Apps, member: Callable[..., str]
) -> None:
    content = theirs.get("volumesnapshot", "copy")["status"]["boundVolumeSnapshotContentName"]
    of_claim = snapshot("of-claim", persistentVolumeClaimName="data")
    of_content = snapshot("of-content", volumeSnapshotContentName=content)
    for mine in (of_claim, of_content):
        member("create", "-f", "-", stdin=json.dumps(mine))

    told(apps, "of-claim", "cannot get claim from snapshot")
    told(apps, "of-content", "expects a pre-provisioned VolumeSnapshotContent")
