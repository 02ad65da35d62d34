"""What has to be applied and removed so that an app runs as its app.toml says.

Disks are never removed, and of a disk that exists only the wishes and the claim are written: its
size is the driver's to show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from csi import DRIVER_NAME
from csi.errors import InvalidRequest, NotFound, Refused
from csi.kubernetes_api import Object
from deploy.app_cluster import CLAIM, VOLUME, AppCluster, is_of
from deploy.disks import translate_disks
from deploy.model import AppConfig
from deploy.options import Options
from deploy.service_names import service_name
from deploy.translation import translate_services


@dataclass(frozen=True, slots=True)
class Plan:
    """The objects of one deployment, in the order in which they are applied."""

    disks: Sequence[Object]
    services: Sequence[Object]
    obsolete: Sequence[Object]
    """What an earlier deployment has made and this one has not."""
    kept: Sequence[Object]
    """Claims of disks that app.toml does not name any more."""


def plan(cluster: AppCluster, config: AppConfig, options: Options) -> Plan:
    """Look at the cluster and return what is to be done.

    Raises:
        InvalidRequest: the app cannot be translated.
        Refused: the cluster lacks something, or has it for somebody else.
        Unavailable: the API server cannot be asked.
    """
    _require_namespace(cluster)
    try:
        disks = translate_disks(config, options)
        services = translate_services(config, options)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    if disks:
        _require_driver(cluster)
    for manifest in services:
        _refuse_foreign(cluster, config.name, manifest)
    named = {_key(manifest) for manifest in (*disks, *services)}
    others = [one for one in cluster.owned(config.name) if _key(one) not in named]
    return Plan(
        [_for_disk(cluster, manifest) for manifest in disks],
        services,
        [one for one in others if one["kind"] != CLAIM],
        [one for one in others if one["kind"] == CLAIM],
    )


def addressed_services(cluster: AppCluster, config: AppConfig, options: Options) -> list[Object]:
    """Return the services' objects anew, now that Service objects have addresses.

    So the pods find `SERVICE.app.miren` also where it is written into the image.
    """
    addresses = {}
    for service in config.services:
        live = cluster.get("Service", service_name(config.name, service.name))
        if service.port is not None and live:
            addresses[service.name] = live["spec"]["clusterIP"]
    return translate_services(config, replace(options, cluster_ips=addresses))


def _key(manifest: Object) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _require_namespace(cluster: AppCluster) -> None:
    name = cluster.namespace
    what = f'there is no namespace "{name}": kubectl create namespace {name}'
    _require(cluster, f"/api/v1/namespaces/{name}", what)


def _require_driver(cluster: AppCluster) -> None:
    what = f"the app has disks, but the driver {DRIVER_NAME} is not installed in this cluster: "
    path = f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER_NAME}"
    _require(cluster, path, f"{what}see docs/install.md")


def _require(cluster: AppCluster, path: str, otherwise: str) -> None:
    try:
        cluster.api.get(path)
    except NotFound:
        raise Refused(otherwise) from None


def _refuse_foreign(cluster: AppCluster, app: str, manifest: Object) -> None:
    live = cluster.live(manifest)
    if live and not is_of(live, app):
        kind, name = _key(manifest)
        raise Refused(
            f"there is a {kind} {cluster.namespace}/{name} already, which is not of app {app}: "
            "rename the app or the service, or remove that object"
        )


def _for_disk(cluster: AppCluster, manifest: Object) -> Object:
    """Return what is applied of a disk's volume or claim; raises Refused."""
    live = cluster.live(manifest)
    if live is None:
        return manifest
    kept = "resources"
    if manifest["kind"] == VOLUME:
        kept = "capacity"
        _refuse_claimed(cluster, manifest, live)
    return {**manifest, "spec": {**manifest["spec"], kept: live["spec"][kept]}}


def _refuse_claimed(cluster: AppCluster, manifest: Object, live: Object) -> None:
    claim, mine = live["spec"].get("claimRef"), manifest["spec"]["claimRef"]
    if not claim or (claim["namespace"], claim["name"]) == (mine["namespace"], mine["name"]):
        return
    name, namespace = claim["name"], claim["namespace"]
    if cluster.get(CLAIM, name, namespace):
        disk = manifest["spec"]["csi"]["volumeHandle"]
        raise Refused(
            f'disk "{disk}" is claimed by {namespace}/{name}; delete that claim first: '
            f"kubectl delete pvc {name} -n {namespace}"
        )
