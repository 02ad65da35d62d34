"""A real API server takes an app over whatever the app was before, as deploy applies it."""

from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csi.kubernetes_api import KubernetesApi, Object
from deploy import Options, parse, translate
from deploy.app_cluster import AppCluster
from deploy.difference import difference
from tests.cluster.api_server import ApiServer
from tests.contract.kubernetes_openapi import KubernetesOpenApi
from tests.unit.deploy import any_app

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

SHAPES = {
    "nothing": "",
    "a port": "port = 80",
    "a UDP port": 'port = 80\nport_type = "udp"',
    "instances": "port = 80\nconcurrency.num_instances = 3",
    "scaling": 'concurrency.mode = "auto"',
    "environment": 'env = [{ key = "A", value = "1" }, { key = "no secret\'s key" }]',
    "a disk": "disks = [{ name = 'applied-again', mount_path = '/d', lease_timeout = '1h' }]",
    "a local disk": "disks = [{ name = 'files', mount_path = '/f', provider = 'local' }]",
}


@pytest.fixture(scope="module")
def cluster(api_server: ApiServer) -> AppCluster:
    """The apps of a cluster in which nothing runs."""
    KubernetesOpenApi(api_server).make_namespace("default")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(api_server.kubeconfig()))
        return AppCluster(KubernetesApi(), "default")


def manifests(shape: str, app: str = "changing") -> list[Object]:
    text = f'name = "{app}"\n[services.job]\n{SHAPES[shape]}'
    return translate(parse(text), Options(image="shop:1"))


def remove(cluster: AppCluster, app: str) -> None:
    for found in list(cluster.owned(app)):
        if found["kind"] != "PersistentVolumeClaim":
            cluster.remove(found)


@pytest.mark.parametrize(("before", "after"), list(permutations(SHAPES, 2)))
def test_a_service_may_become_any_other(cluster: AppCluster, before: str, after: str) -> None:
    remove(cluster, "changing")
    for manifest in manifests(before):
        cluster.apply(manifest)

    would_be = [cluster.apply(manifest, dry_run=True) for manifest in manifests(after)]
    is_now = [cluster.apply(manifest) for manifest in manifests(after)]

    wanted = manifests(after)
    for planned, found, manifest in zip(would_be, is_now, wanted, strict=True):
        strategy = manifest["spec"].get("strategy") if "spec" in manifest else None
        assert strategy is None or found["spec"]["strategy"] == strategy
        if manifest["kind"] == "Service":
            assert ("ports" in found["spec"]) == ("ports" in manifest["spec"])
            continue  # its address is not known before
        assert [*difference(planned, found)] == []


# An apply is read as YAML, which knows not all that JSON does, and more kinds of line ends.
COMMAND = "echo '🐎 ž \u2028 \x85 \x7f \\ud83d \t' \"$(date)\" $€"


def test_a_command_arrives_as_it_is(cluster: AppCluster) -> None:
    text = any_app.as_toml({"name": "unicode", "services": {"job": {"command": COMMAND}}})
    for manifest in translate(parse(text), Options(image="shop:1")):
        found = cluster.apply(manifest)
        if found["kind"] == "Deployment":
            [container] = found["spec"]["template"]["spec"]["containers"]
            escaped = COMMAND.replace("$(", "$$(").replace("$€", "$$€")
            assert container["command"] == ["/bin/sh", "-c", escaped]


ALIASED = Options(image="shop:1", cluster_ips={"Web": "10.0.0.1", "DB": "10.0.0.2"})


def test_an_app_with_services_in_upper_case_is_taken(cluster: AppCluster) -> None:
    app = parse('name = "Shop"\n[services.Web]\nport = 80\n[services.DB]\nport = 81')
    for manifest in translate(app, ALIASED):
        cluster.apply(manifest)


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.tuples(any_app.right_apps(), any_app.right_apps()))
def test_any_app_may_become_any_other(
    cluster: AppCluster, apps: tuple[any_app.Table, any_app.Table]
) -> None:
    remove(cluster, "any")
    for app in apps:
        # Both have services of the same names, where they may be in each other's way.
        others = iter(("db", "job", "queue"))
        services = {
            name if name == "web" else next(others): service
            for name, service in app["services"].items()
        }
        text = any_app.as_toml({**app, "name": "any", "services": services})
        for manifest in translate(parse(text), Options(image="shop:1")):
            cluster.apply(manifest)
