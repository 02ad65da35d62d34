"""A real API server takes an app over whatever the app was before, as deploy applies it."""

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csi.kubernetes_api import KubernetesApi, Object
from deploy import AppConfig, Options, parse, translate
from deploy.app_cluster import AppCluster
from deploy.deployment_plan import addressed_services
from deploy.difference import difference
from tests.cluster.api_server import ApiServer
from tests.contract.kubernetes_openapi import KubernetesOpenApi
from tests.unit.deploy import any_app

pytestmark = pytest.mark.loop_only  # no pool is in it: once is enough

# What deploy applies before it knows the addresses of Services.
BEFORE = ("PersistentVolume", "PersistentVolumeClaim", "Secret", "Service")
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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppCluster]:
    """A cluster in which nothing runs, of these tests alone: what they make stays in it."""
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        KubernetesOpenApi(server).make_namespace("default")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("KUBECONFIG", str(server.kubeconfig()))
            yield AppCluster(KubernetesApi(), "default")
    finally:
        server.stop()


OPTIONS = Options(image="shop:1")


def app_of(shape: str) -> AppConfig:
    return parse(f'name = "changing"\n[services.job]\n{SHAPES[shape]}')


def deploy(cluster: AppCluster, app: AppConfig, *, dry_run: bool = False) -> list[Object]:
    """Apply an app as deploy does, in its two steps; nothing runs here to wait for."""
    first = [one for one in translate(app, OPTIONS) if one["kind"] in BEFORE]
    done = [cluster.apply(manifest, dry_run=dry_run) for manifest in first]
    rest = [one for one in addressed_services(cluster, app, OPTIONS) if one["kind"] not in BEFORE]
    return [*done, *(cluster.apply(manifest, dry_run=dry_run) for manifest in rest)]


def remove(cluster: AppCluster, app: str) -> None:
    for found in list(cluster.owned(app)):
        if found["kind"] != "PersistentVolumeClaim":
            cluster.remove(found)


@pytest.mark.parametrize(("before", "after"), list(permutations(SHAPES, 2)))
def test_a_service_may_become_any_other(cluster: AppCluster, before: str, after: str) -> None:
    remove(cluster, "changing")
    deploy(cluster, app_of(before))

    there = [*cluster.owned("changing")]
    would_be = deploy(cluster, app_of(after), dry_run=True)
    assert [*cluster.owned("changing")] == there
    is_now = deploy(cluster, app_of(after))

    assert {one["kind"] for one in would_be} == {one["kind"] for one in is_now}
    for planned, found in zip(would_be, is_now, strict=True):
        # Addresses are not known before; pods are told them.
        if planned["kind"] not in {"Service", "Deployment"}:
            assert [*difference(planned, found)] == []
    [service] = (one for one in is_now if one["kind"] == "Service")
    [deployment] = (one for one in is_now if one["kind"] == "Deployment")
    has_port = "port =" in SHAPES[after]
    aliases = deployment["spec"]["template"]["spec"].get("hostAliases", [])
    assert [alias["ip"] for alias in aliases] == [service["spec"]["clusterIP"]] * has_port
    assert (service["spec"]["clusterIP"] == "None") == (not has_port)
    kind = {"type": "Recreate"} if after == "a disk" else {"type": "RollingUpdate"}
    assert deployment["spec"]["strategy"].items() >= kind.items()
    [planned] = (one for one in would_be if one["kind"] == "Deployment")
    assert planned["spec"]["strategy"] == deployment["spec"]["strategy"]


# An apply is read as YAML, which knows not all that JSON does, and more kinds of line ends.
COMMAND = "echo '🐎 ž \u2028 \x85 \x7f \\ud83d \t' \"$(date)\" $€"


def test_a_command_arrives_as_it_is(cluster: AppCluster) -> None:
    text = any_app.as_toml({"name": "unicode", "services": {"job": {"command": COMMAND}}})
    _, deployment = deploy(cluster, parse(text))
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    escaped = COMMAND.replace("$(", "$$(").replace("$€", "$$€")
    assert container["command"] == ["/bin/sh", "-c", escaped]


def test_an_app_with_services_in_upper_case_is_taken(cluster: AppCluster) -> None:
    deploy(cluster, parse('name = "Shop"\n[services.Web]\nport = 80\n[services.DB]\nport = 81'))


@settings(
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
        deploy(cluster, parse(text))
