"""Apps of real shapes run in the cluster just as their app.toml says, and go without a trace."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from deploy import AutoConcurrency, DiskSpec, PortType, Service
from tests.cluster.cluster import Cluster
from tests.cluster.cluster_dns import cluster_dns
from tests.cluster.driver import Driver
from tests.cluster.fleet import SALES, Deployed, Fleet, side_by_side
from tests.cluster.golden import GoldenApp, Instance
from tests.cluster.kubectl import KubectlError
from tests.cluster.lookups import wait_found
from tests.cluster.node import Node
from tests.cluster.service_proxy import service_proxy
from tests.cluster.waiting import wait_until
from tests.unit.deploy import golden_apps

pytestmark = pytest.mark.pools("lvm")  # in VMs, whose kernel has all that kube-proxy wants

# What pods have from their image, their runtime and Kubernetes.
_NOT_OF_THE_APP = re.compile(r"PATH|HOME|HOSTNAME|KUBERNETES_.*")
_IMPORTED = {"rails": "rails db:prepare", "post-import": "migrate\nseed apples pears"}
_FOLDERS = golden_apps.folders()


@pytest.fixture(scope="module")
def fleet(
    kubernetes: Cluster,
    node: Node,
    driver: Driver,  # noqa: ARG001 - installed
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    """The apps that tests were selected of."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    selected = {spec.params.get("deployed") for spec in specs if spec}
    folders = [folder for folder in _FOLDERS if folder in selected]
    workplace = tmp_path_factory.mktemp("apps")
    with (
        service_proxy(kubernetes, node),
        cluster_dns(kubernetes, node),
        side_by_side(kubernetes, node, folders, workplace) as fleet,
    ):
        yield fleet


@pytest.fixture(scope="module", params=_FOLDERS, ids=lambda folder: str(folder.name))
def deployed(fleet: Fleet, request: pytest.FixtureRequest) -> Deployed:
    """Each of the apps."""
    folder: Path = request.param
    return fleet.deployed(folder.name)


@pytest.fixture
def app(deployed: Deployed) -> GoldenApp:
    """An app that is deployed."""
    assert deployed.done.returncode == 0, deployed.done.stderr
    return deployed.app


def test_deploy_names_each_service_with_its_address(deployed: Deployed, app: GoldenApp) -> None:
    first, *lines = deployed.done.stdout.splitlines()
    assert first == f"{app.config.name} runs in namespace {app.apps.namespace}:"
    assert dict(line.split() for line in lines) == {
        service.name: f"{_host(app, service)}.{app.apps.namespace}.svc"
        + (f":{service.port}" if service.port else "")
        for service in app.config.services
    }
    for warning in app.config.warnings:
        assert f"{warning}\n" in deployed.done.stderr


def _host(app: GoldenApp, service: Service) -> str:
    """The name of the Service object behind which are the service's pods, and no others."""
    pods = set(app.pods(service))
    slices = app.apps.get("endpointslices")["items"]
    behind: dict[str, set[str]] = {}
    for one in slices:
        name = one["metadata"]["labels"]["kubernetes.io/service-name"]
        ends = {end["targetRef"]["name"] for end in one["endpoints"] or ()}
        behind[name] = behind.get(name, set()) | ends
    (host,) = (name for name, found in behind.items() if found == pods)
    return host


def test_its_pods_run_what_app_toml_says(app: GoldenApp) -> None:
    hosts = {service.name: _host(app, service) for service in app.config.services}
    for service in app.config.services:
        line = _with_addresses(service.command or "", hosts)
        port = {"PORT": str(service.port)} if service.port else {}
        said = app.config.environment(service)
        instances = app.instances(service)
        assert len(instances) == _number(service)
        for instance in instances:
            assert instance.command == (["/bin/sh", "-c", line] if line else ["/bin/stand-in"])
            assert {
                key: value
                for key, value in instance.environment.items()
                if not _NOT_OF_THE_APP.fullmatch(key)
            } == port | {key: _with_addresses(text, hosts) for key, text in said.items()}
    assert app.log_of_import() == _IMPORTED.get(app.folder.name, "")


def _with_addresses(text: str, hosts: Mapping[str, str]) -> str:
    return re.sub(r"([\w-]+)\.app\.miren", lambda found: hosts[found[1]], text)


def _number(service: Service) -> int:
    return (
        1 if isinstance(service.concurrency, AutoConcurrency) else service.concurrency.num_instances
    )


def test_its_disks_are_where_app_toml_wants_them(app: GoldenApp) -> None:
    uses = [
        (instance, disk)
        for service in app.config.services
        for instance in _mounting_just(service.disks, app.instances(service))
        for disk in service.disks
    ]
    for instance, disk in uses:
        filesystem, options = instance.mounts[disk.mount_path]
        assert options.split(",")[0] == ("ro" if disk.read_only else "rw")
        assert filesystem == disk.filesystem or not disk.is_miren
        write = f"echo {instance.pod} >{disk.mount_path}/{instance.pod} && sync"
        if disk.read_only:
            with pytest.raises(KubectlError, match="Read-only file system"):
                app.apps.run(instance.pod, write)
        else:
            app.apps.run(instance.pod, write)
    listings: dict[str, set[str]] = {}
    for instance, disk in uses:
        listing = app.apps.run(instance.pod, f"ls {disk.mount_path}")
        listings.setdefault(disk.handle(app.config.name), set()).add(listing)
    # All who share a local disk see the same.
    assert [handle for handle, seen in listings.items() if len(seen) != 1] == []
    if app.folder.name == "read-only-disk":
        assert app.apps.run(uses[0][0].pod, "cat /archive/sales.csv") == SALES


def _mounting_just(disks: Sequence[DiskSpec], instances: Sequence[Instance]) -> Sequence[Instance]:
    for instance in instances:
        assert set(instance.mounts) == {disk.mount_path for disk in disks}
    return instances


def test_miren_names_lead_to_their_services(app: GoldenApp) -> None:
    addressed = {f"{one.name.lower()}.app.miren": one for one in app.config.services if one.port}
    addresses = {
        name: app.apps.get("service", _host(app, service))["spec"]["clusterIP"]
        for name, service in addressed.items()
    }
    instances = [one for service in app.config.services for one in app.instances(service)]
    for instance in instances:
        known = {name: ip for name, ip in instance.hosts.items() if name.endswith(".app.miren")}
        assert known == addresses
    for name, service in addressed.items():
        if service.port_type is not PortType.UDP:
            address = f"{name} {service.port}"
            _wait_answered(app, instances[0].pod, address, by=app.pods(service))


def test_addresses_are_names_in_the_dns_of_its_pods(app: GoldenApp) -> None:
    (asking, *_) = app.pods(app.config.services[0])
    for service in app.config.services:
        host = _host(app, service)
        address = app.apps.get("service", host)["spec"]["clusterIP"]
        wanted = app.addresses(service) if address == "None" else {address}
        wait_found(app.apps, asking, host, wanted)


def _wait_answered(app: GoldenApp, pod: str, address: str, by: Sequence[str]) -> None:
    # Instances answer with their names; kube-proxy knows of them a little later.
    ask = f"nc -w 5 {address} </dev/null || true"
    answered = f"{pod} gets an answer of {' or '.join(by)} at {address}"
    wait_until(lambda: app.apps.run(pod, ask).strip() in by, answered, within=30)


def test_undeploy_leaves_nothing_but_its_disks(fleet: Fleet, deployed: Deployed) -> None:
    undeployed = fleet.undeployed(deployed.app.folder.name)
    app, had, done = undeployed.app, undeployed.had, undeployed.done

    assert done.returncode == 0, done.stderr
    first, *kept = done.stdout.splitlines()
    assert first == f"{app.config.name} is removed from namespace {app.apps.namespace}"
    assert set(had) == {disk.handle(app.config.name) for disk in app.config.disks}
    assert set(kept) == {
        f"kept: disk {handle} (PersistentVolume {name}, {size})"
        for handle, (name, size) in had.items()
    }
    wait_until(lambda: not app.left(), f"nothing is left of {app.config.name}", within=30)
    assert app.volumes() == had
