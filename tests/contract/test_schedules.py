"""Schedules of backups, in a real API server: what they consist of, as it takes it."""

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from csi.errors import InvalidRequest, NotFound, Refused
from csi.kubernetes_api import KubernetesApi, Object
from csi.persistent_volume import COORDINATOR, unclaimed
from deploy.main import parser
from deploy.operate import schedules
from deploy.operate.disk_cluster import VOLUMES, DiskCluster, volume_path
from deploy.operate.mover_lines import MoverFailed
from deploy.operate.schedule_manifests import Schedule, schedule_name
from deploy.operate.short_forms import spelled_out
from tests.cluster.api_server import Cluster

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

_PLACE = "s3:https://s3.example/bucket"
WORDS = ("--cron", "0 3 * * *", "--to", _PLACE, "--secret", "nightly")
HOOKS = ("--pre", "sync 'all'", "--post", "true")


class Operator:
    """Somebody with an admin's kubeconfig, where the driver's pod is."""

    def __init__(self, cluster: Cluster, disk: str) -> None:
        self.disk = disk
        self.closed: set[str] = set()
        self.cluster = DiskCluster(KubernetesApi(), cluster.namespace)

    def _opens(self, _: DiskCluster, schedule: Schedule, secret: str) -> None:
        assert secret
        if schedule.to in self.closed:
            raise MoverFailed("the password is wrong")

    def schedule(self, *words: str) -> str:
        """kubectl miren disk schedule."""
        namespace = ("--driver-namespace", self.cluster.namespace)
        asked = parser().parse_args(spelled_out(["disk", "schedule", *words, *namespace]))
        # No mover runs here: there are no nodes.
        create = functools.partial(schedules.create, opens=self._opens)
        action: dict[str, Callable[[DiskCluster, argparse.Namespace], str]]
        action = {"create": create, "show": schedules.show, "delete": schedules.delete}
        return action[asked.action.partition(":")[2]](self.cluster, asked)

    def objects(self) -> list[Object]:
        """All that its schedule consists of."""
        return [*schedules._objects(self.cluster, schedule_name(self.disk))]

    def kinds(self) -> list[str]:
        return sorted(
            f"{one['kind']} {one['metadata'].get('namespace', '')}" for one in self.objects()
        )


@pytest.fixture
def operator(cluster: Cluster) -> Iterator[Operator]:
    disk = f"nightly-{cluster.namespace}"
    operator = Operator(cluster, disk)
    api, namespace = operator.cluster.api, cluster.namespace
    wish = {"filesystem": "xfs"}
    volume = unclaimed(disk, "64Mi", namespace, pin=COORDINATOR, wish=wish).manifest()
    api.create(VOLUMES, volume)
    labels = {"app.kubernetes.io/name": "miren-csi", "app.kubernetes.io/component": "node"}
    container = {"name": "driver", "image": "registry.example/miren-csi:7"}
    pod: dict[str, Any] = {
        "metadata": {"name": "driver", "labels": labels},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    api.create(f"/api/v1/namespaces/{namespace}/pods", pod)
    secret = {"metadata": {"name": "nightly"}, "stringData": {"RESTIC_PASSWORD": "hush"}}
    api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    yield operator
    api.delete(volume_path(disk))
    if operator.objects():
        operator.schedule("delete", disk, "--yes")


def claimed_by(operator: Operator, namespace: str) -> None:
    claim = {"namespace": namespace, "name": "data"}
    operator.cluster.api.patch(volume_path(operator.disk), {"spec": {"claimRef": claim}})


def test_what_could_not_be_stored_is_not_scheduled(operator: Operator) -> None:
    operator.closed.add(_PLACE)

    with pytest.raises(MoverFailed, match="the password is wrong"):
        operator.schedule(operator.disk, *WORDS)

    assert operator.objects() == []


def test_a_schedule_comes_is_listed_and_goes(operator: Operator) -> None:
    namespace = operator.cluster.namespace
    assert operator.schedule("list") == "no schedules\n"

    said = operator.schedule(operator.disk, *WORDS, "--keep-daily", "7")

    name = schedule_name(operator.disk)
    assert f"kubectl create job -n {namespace} --from=cronjob/{name}" in said
    (cron,) = (one for one in operator.objects() if one["kind"] == "CronJob")
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/miren-csi:7"
    assert container["args"] == [
        *("disk", "backup", "create", operator.disk, "--to", _PLACE, "--secret", "nightly"),
        *("--keep-daily", "7", "--driver-namespace", namespace),
    ]
    (listed,) = json.loads(operator.schedule("list", "-o", "json"))
    assert (listed["disk"], listed["schedule"], listed["to"]) == (
        *(operator.disk, "0 3 * * *", _PLACE),
    )
    row = operator.schedule("list").splitlines()[1].split("   ")
    assert row[:4] == [operator.disk, "0 3 * * *", "Etc/UTC", _PLACE]
    operator.schedule("delete", operator.disk, "--yes")
    assert operator.objects() == []
    with pytest.raises(NotFound, match="has no schedule"):
        operator.schedule("delete", operator.disk, "--yes")


def test_a_volume_that_the_account_could_not_find_is_refused(operator: Operator) -> None:
    disk = f"other-{operator.cluster.namespace}"
    volume = unclaimed(
        disk, "64Mi", operator.cluster.namespace, pin=COORDINATOR, wish={}
    ).manifest()
    volume["metadata"]["name"] = f"by-hand-{operator.cluster.namespace}"
    operator.cluster.api.create(VOLUMES, volume)

    with pytest.raises(Refused, match="make it anew"):
        operator.schedule(disk, *WORDS)

    operator.cluster.api.delete(f"{VOLUMES}/{volume['metadata']['name']}")


def test_what_the_pod_runs_is_understood_as_it_was_meant(operator: Operator) -> None:
    claimed_by(operator, "default")
    operator.schedule(operator.disk, *WORDS, *HOOKS, "--container", "db")

    (cron,) = (one for one in operator.objects() if one["kind"] == "CronJob")
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    asked = parser().parse_args(spelled_out(container["args"]))

    assert (asked.action, asked.name, asked.to) == ("backing_up:backup", operator.disk, _PLACE)
    assert (asked.pre, asked.post, asked.container) == ("sync 'all'", "true", "db")


def test_rights_in_an_app_go_with_the_hooks(operator: Operator) -> None:
    with pytest.raises(InvalidRequest, match="no app has disk"):
        operator.schedule(operator.disk, *WORDS, *HOOKS)
    assert operator.objects() == []
    claimed_by(operator, "default")

    operator.schedule(operator.disk, *WORDS, *HOOKS)
    assert {"Role default", "RoleBinding default"} <= {*operator.kinds()}
    operator.schedule(operator.disk, *WORDS)

    here = operator.cluster.namespace
    assert operator.kinds() == sorted(
        [
            *("ClusterRole ", "ClusterRoleBinding "),
            *(f"{kind} {here}" for kind in ("CronJob", "Role", "RoleBinding", "ServiceAccount")),
        ]
    )


def test_what_would_be_made_is_printed_and_not_made(operator: Operator) -> None:
    claimed_by(operator, "default")

    text = operator.schedule(operator.disk, *WORDS, *HOOKS, "--dry-run", "-o", "yaml")

    kinds = [one["kind"] for one in yaml.safe_load_all(text)]
    assert kinds[0] == "ServiceAccount"
    assert kinds[-1] == "CronJob"
    assert kinds.count("Role") == 2
    assert operator.objects() == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--cron", "every night"), '"every night" is no schedule'),
        (("--to", "nightly.miren"), "is a file"),
        (("--container", "db"), "there is neither"),
    ],
)
def test_what_makes_no_sense_is_told(operator: Operator, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        operator.schedule(operator.disk, *WORDS, *words)
    assert operator.objects() == []


def test_a_secret_that_is_not_there_is_told_with_how_to_make_it(operator: Operator) -> None:
    with pytest.raises(NotFound, match="kubectl create secret generic"):
        operator.schedule(operator.disk, *WORDS, "--secret", "nosuch")
    assert operator.objects() == []
