"""The commands that need a cluster, run: `deploy`, `undeploy`."""

import argparse
from collections.abc import Callable

from csi.errors import DiskError
from csi.kubernetes_api import Conflict, KubernetesApi
from deploy import console, given_app, undeployer
from deploy.app_cluster import AppCluster
from deploy.deploy_failed import DeployFailed
from deploy.deploy_result import DeployResult
from deploy.deployer import Deployer
from deploy.live_view import LiveView
from deploy.model import AppConfig
from deploy.options import Options

_FAILURES = (DeployFailed, DiskError, Conflict)


def deploy(arguments: argparse.Namespace) -> int:
    """Deploy the app that the arguments name; return the exit status."""
    try:
        namespace = KubernetesApi.context_namespace(arguments.context)
        config, options = given_app.read(arguments, namespace)
    except ValueError as error:
        console.say(f"kubectl-miren: {error}")
        return 2

    if arguments.dry_run:
        return _guarded(lambda: _dry_run(arguments, config, options))
    return _guarded(lambda: _deploy(arguments, config, options))


def _dry_run(arguments: argparse.Namespace, config: AppConfig, options: Options) -> int:
    deployer = _deployer(arguments, options)
    text = "".join(f"{line}\n" for line in deployer.differences(config, options))
    return console.write(text or f"{config.name} is up to date\n", "the changes")


def _deploy(arguments: argparse.Namespace, config: AppConfig, options: Options) -> int:
    is_json = arguments.output == "json"
    deployer: Deployer | None = None
    try:
        deployer = _deployer(arguments, options)
        deployer.deploy(config, options, arguments.timeout)
    except _FAILURES as error:
        if is_json:
            seen = deployer.seen if deployer else ()
            failed = DeployResult(config, options.namespace, seen, str(error))
            console.write(failed.as_json(), "the result")
        raise
    result = DeployResult(config, options.namespace, deployer.seen)
    return console.write(result.as_json() if is_json else result.as_text(), "the result")


def _deployer(arguments: argparse.Namespace, options: Options) -> Deployer:
    cluster = AppCluster(KubernetesApi(arguments.context), options.namespace)
    return Deployer(cluster, LiveView())


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
    except _FAILURES as error:
        console.say(f"kubectl-miren: {error}")
    return 1
