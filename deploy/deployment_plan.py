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
    for manifest in disks:
        if manifest["kind"] == VOLUME:
            _refuse_claimed(cluster, manifest)
    named = {_key(manifest) for manifest in (*disks, *services)}
    others = [one for one in cluster.owned(config.name) if _key(one) not in named]
    return Plan(
        [_with_live_size(cluster, manifest) for manifest in disks],
        services,
        [one for one in others if one["kind"] != CLAIM],
        [one for one in others if one["kind"] == CLAIM],
    )


def with_addresses(cluster: AppCluster, config: AppConfig, options: Options) -> list[Object]:
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
    try:
        cluster.api.get(f"/api/v1/namespaces/{cluster.namespace}")
    except NotFound:
        raise Refused(
            f'there is no namespace "{cluster.namespace}": '
            f"kubectl create namespace {cluster.namespace}"
        ) from None


def _require_driver(cluster: AppCluster) -> None:
    try:
        cluster.api.get(f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER_NAME}")
    except NotFound:
        raise Refused(
            f"the app has disks, but the driver {DRIVER_NAME} is not installed in this cluster: "
            "see docs/install.md"
        ) from None


def _refuse_foreign(cluster: AppCluster, app: str, manifest: Object) -> None:
    live = cluster.live(manifest)
    if live and not is_of(live, app):
        kind, name = _key(manifest)
        raise Refused(
            f"there is a {kind} {cluster.namespace}/{name} already, which is not of app {app}: "
            "rename the app or the service, or remove that object"
        )


def _refuse_claimed(cluster: AppCluster, manifest: Object) -> None:
    live = cluster.live(manifest)
    claim = (live or {}).get("spec", {}).get("claimRef") or {}
    name, namespace = claim.get("name", ""), claim.get("namespace", "")
    mine = manifest["spec"]["claimRef"]
    if not claim or (namespace, name) == (mine["namespace"], mine["name"]):
        return
    if cluster.get(CLAIM, name, namespace):
        disk = manifest["spec"]["csi"]["volumeHandle"]
        raise Refused(
            f'disk "{disk}" is claimed by {namespace}/{name}; delete that claim first: '
            f"kubectl delete pvc {name} -n {namespace}"
        )


def _with_live_size(cluster: AppCluster, manifest: Object) -> Object:
    live = cluster.live(manifest)
    if live is None:
        return manifest
    if manifest["kind"] == VOLUME:
        return {**manifest, "spec": {**manifest["spec"], "capacity": live["spec"]["capacity"]}}
    return {**manifest, "spec": {**manifest["spec"], "resources": live["spec"]["resources"]}}
