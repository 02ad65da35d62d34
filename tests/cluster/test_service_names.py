"""Services find each other by the names that app.toml has for them, looked up in their pods."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.service_names import service_name
from tests.cluster import images
from tests.cluster.apps import Apps, new_namespace
from tests.cluster.cluster import Cluster
from tests.cluster.cluster_dns import cluster_dns
from tests.cluster.developer import Developer
from tests.cluster.lookups import addresses, addresses_in_dns, wait_found
from tests.cluster.node import Node

_SLEEP = "trap exit TERM; sleep 2147483647 & wait"
_WEB = "nc -ll -p $PORT -e hostname"
_TWO_PORTS = f"for port in 5432 9187; do nc -ll -p $port -e hostname & done; {_SLEEP}"


@pytest.fixture(scope="module", autouse=True)
def _cluster_dns(kubernetes: Cluster, node: Node) -> Iterator[None]:
    kubernetes.load(images.stand_in((), {}))
    with cluster_dns(kubernetes, node):
        yield


@pytest.fixture
def developer(kubernetes: Cluster, apps: Apps, tmp_path: Path) -> Developer:
    return Developer(kubernetes, apps, tmp_path)


def _service(name: str, command: str = _SLEEP, *more: str) -> list[str]:
    return [f"[services.{name}]", f'image = "{images.STAND_IN}"', f"command = '{command}'", *more]


def _variable(key: str, value: str) -> list[str]:
    return ["[[env]]", f'key = "{key}"', f'value = "{value}"']


_THREE = 'concurrency = { mode = "fixed", num_instances = 3 }'
_DATABASE_URL = _variable("DATABASE_URL", "postgresql://go:secret@db.app.miren/postgres")
_HOST = "host=${DATABASE_URL#*@}; host=${host%%/*}"


def _instances(developer: Developer, service: str) -> dict[str, str]:
    """The addresses of a service's instances, by their pods."""
    select = f"app.kubernetes.io/name={developer.app},app.kubernetes.io/component={service}"
    found = developer.apps.get("pods", "--selector", select)["items"]
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    }


def _pod(developer: Developer, service: str) -> str:
    (pod,) = _instances(developer, service)
    return pod


def _said(developer: Developer, pod: str, variable: str) -> str:
    """What a variable is in a pod."""
    return developer.apps.run(pod, f"echo ${variable}").strip()


def test_a_service_without_a_port_is_found_at_all_its_instances(developer: Developer) -> None:
    worker = _service("worker")
    developer.writes(*_DATABASE_URL, *_service("db", _TWO_PORTS, _THREE), *worker)
    developer.deploys()
    asking = _pod(developer, "worker")
    host = developer.apps.run(asking, f"{_HOST}; echo $host").strip()
    before = _instances(developer, "db")

    assert len({*before.values()}) == 3
    wait_found(developer.apps, asking, host, {*before.values()})
    for port in (5432, 9187):
        answer = developer.apps.run(asking, f"{_HOST}; nc -w 5 $host {port} </dev/null")
        assert answer.strip() in before

    developer.writes(*_DATABASE_URL, *_service("db", f"true; {_TWO_PORTS}", _THREE), *worker)
    developer.deploys()
    after = _instances(developer, "db")

    assert _pod(developer, "worker") == asking
    assert not {*before} & {*after}
    wait_found(developer.apps, asking, host, {*after.values()})


def test_a_service_with_a_port_keeps_its_address(developer: Developer) -> None:
    web, worker = _service("web", _WEB), _service("worker")
    developer.writes(*_variable("WEB", "web.app.miren:3000"), *web, *worker)
    developer.deploys()
    asking = _pod(developer, "worker")
    host = _said(developer, asking, "WEB").removesuffix(":3000")
    address = developer.apps.get("service", f"{developer.app}-web")["spec"]["clusterIP"]

    wait_found(developer.apps, asking, host, {address})
    # As it may be written into the image.
    assert addresses(developer.apps, asking, "web.app.miren") == {address}
    assert addresses(developer.apps, asking, "WEB.app.miren") == {address}
    # It is no name of the cluster's DNS, and no search domain makes it one.
    assert addresses_in_dns(developer.apps, asking, "web.app.miren") == set()


def test_names_that_kubernetes_does_not_take_are_found(developer: Developer) -> None:
    developer.app = f"2048-{developer.app.title()}"
    services = ["DB", "db", "db-reader", "0db"]
    named = [
        line
        for service in services
        for line in _variable(f"OF_{services.index(service)}", f"{service}.app.miren.")
    ]
    developer.writes(*named, *(line for service in services for line in _service(service)))
    developer.deploys()
    instances = {service: _instances(developer, service) for service in services}
    (asking,) = instances["0db"]

    for number, service in enumerate(services):
        host = _said(developer, asking, f"OF_{number}")
        assert host == service_name(developer.app, service)
        wait_found(developer.apps, asking, host, {*instances[service].values()})


@pytest.fixture
def neighbours(
    developer: Developer, kubernetes: Cluster, tmp_path: Path
) -> Iterator[list[Developer]]:
    """An app, another one in its namespace, and the first one once more in another namespace."""
    other = Developer(kubernetes, developer.apps, tmp_path / "other")
    with new_namespace(kubernetes) as namespace:
        staging = Developer(kubernetes, Apps(kubernetes, namespace), tmp_path / "staging")
        staging.app = developer.app
        yield [developer, other, staging]


def test_each_app_finds_its_own_services(neighbours: list[Developer]) -> None:
    for one in neighbours:
        one.writes(*_variable("DATABASE", "db.app.miren"), *_service("db"), *_service("worker"))
        one.deploys()

    for one in neighbours:
        asking = _pod(one, "worker")
        host = _said(one, asking, "DATABASE")
        wait_found(one.apps, asking, host, {*_instances(one, "db").values()})


def test_names_are_found_after_a_plain_kubectl_apply(developer: Developer) -> None:
    web, database = "curl http://web.app.miren:3000", "db.app.miren"
    given = [*_variable("WEB", web), *_variable("DATABASE", database)]
    developer.writes(*given, *_service("web", _WEB), *_service("db"))
    done = developer.runs("translate", str(developer.file))
    assert done.returncode == 0, done.stderr
    developer.apps.kubectl("apply", "-f", "-", stdin=done.stdout)
    for service in ("web", "db"):
        developer.apps.wait(f"deployment/{developer.app}-{service}", "condition=Available")

    asking = _pod(developer, "db")
    said = _said(developer, asking, "WEB").removeprefix("curl http://")
    address = developer.apps.get("service", f"{developer.app}-web")["spec"]["clusterIP"]
    wait_found(developer.apps, asking, said.removesuffix(":3000"), {address})
    host = _said(developer, asking, "DATABASE")
    wait_found(developer.apps, asking, host, {*_instances(developer, "db").values()})


def test_post_import_finds_the_database_of_a_first_deployment(developer: Developer) -> None:
    ask = ["post_import = 'nc -w 5 db.app.miren 5432 </dev/null'"]
    built = ["[services.web]", f"command = '{_WEB}'"]
    developer.writes(*ask, *_service("db", _TWO_PORTS), *built)
    developer.deploys("--image", images.STAND_IN)

    (job,) = developer.names("jobs")
    *_, answer = developer.apps.kubectl("logs", f"job/{job}").splitlines()
    assert answer == _pod(developer, "db")
