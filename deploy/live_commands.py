"""The commands that need a cluster, run: `deploy`, `undeploy`."""

import argparse
from collections.abc import Callable

from csi.errors import DiskError
from csi.kubernetes_api import Conflict, KubernetesApi
from deploy import console, given_app, undeployer
from deploy.app_cluster import AppCluster
from deploy.deploy_failed import DeployFailed
from deploy.deployer import Deployer
from deploy.live_view import LiveView
from deploy.model import AppConfig
from deploy.service_names import service_name


def deploy(arguments: argparse.Namespace) -> int:
    """Deploy the app that the arguments name; return the exit status."""
    try:
        namespace = KubernetesApi.context_namespace(arguments.context)
        config, options = given_app.read(arguments, namespace)
    except ValueError as error:
        console.say(f"kubectl-miren: {error}")
        return 2

    def do() -> int:
        cluster = AppCluster(KubernetesApi(arguments.context), options.namespace)
        deployer = Deployer(cluster, LiveView())
        if arguments.dry_run:
            changes = [*deployer.differences(config, options)]
            text = "".join(f"{line}\n" for line in changes)
            return console.write(text or f"{config.name} is up to date\n", "the changes")
        deployer.deploy(config, options, arguments.timeout)
        return console.write(_summary(config, options.namespace), "the addresses")

    return _guarded(do)


def undeploy(arguments: argparse.Namespace) -> int:
    """Remove the app that the arguments name; return the exit status."""

    def do() -> int:
        chosen = arguments.namespace or KubernetesApi.context_namespace(arguments.context)
        cluster = AppCluster(KubernetesApi(arguments.context), chosen)
        volumes = undeployer.undeploy(cluster, LiveView(), arguments.app, arguments.timeout)
        lines = [f"{arguments.app} is removed from namespace {chosen}"]
        for volume in volumes:
            spec, name = volume["spec"], volume["metadata"]["name"]
            disk = spec.get("csi", {}).get("volumeHandle", name)
            size = spec["capacity"]["storage"]
            lines.append(f"kept: disk {disk} (PersistentVolume {name}, {size})")
        return console.write("".join(f"{line}\n" for line in lines), "the result")

    return _guarded(do)


def _guarded(do: Callable[[], int]) -> int:
    try:
        return do()
    except (DeployFailed, DiskError, Conflict) as error:
        console.say(f"kubectl-miren: {error}")
    return 1


def _summary(config: AppConfig, namespace: str) -> str:
    rows = []
    for service in config.services:
        address = f"{service_name(config.name, service.name)}.{namespace}.svc"
        rows.append((service.name, f"{address}:{service.port}" if service.port else address))
    width = max(len(name) for name, _ in rows)
    lines = [f"{config.name} runs in namespace {namespace}:"]
    lines += [f"  {name:{width}}  {address}" for name, address in rows]
    return "".join(f"{line}\n" for line in lines)
