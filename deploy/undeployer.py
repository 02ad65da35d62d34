"""Takes an app out of a cluster, all but its disks."""

import time
from collections.abc import Iterable, Iterator

from csi.errors import Refused
from csi.kubernetes_api import Object
from deploy import labels
from deploy.app_cluster import CLAIM, VOLUME, AppCluster
from deploy.deploy_failed import DeployFailed
from deploy.live_view import LiveView

_LOOK_EVERY = 1.0


def undeploy(cluster: AppCluster, view: LiveView, app: str, within: float) -> list[Object]:
    """Remove an app, and return the volumes of its disks, which stay.

    Raises:
        Refused: there is no such app.
        DeployFailed: its pods do not end in `within` seconds.
        Unavailable: the API server cannot be asked.
    """
    found = [*cluster.owned(app)]
    if not found:
        raise Refused(f"there is no app {app} in namespace {cluster.namespace}")
    deadline = time.monotonic() + within
    volumes = [*_volumes(cluster, found)]
    for one in found:
        cluster.remove(one)
    while True:
        pods = cluster.pods(labels.of_app(app))
        left = [*cluster.owned(app)]
        view.show({app: f"ending: pods left {len(pods)}, other objects {len(left)}"})
        if not pods and not left:
            return volumes
        if time.monotonic() > deadline:
            names = ", ".join(str(pod["metadata"]["name"]) for pod in pods)
            raise DeployFailed(f"{app} does not end: {names or 'objects'} are still there")
        time.sleep(_LOOK_EVERY)


def _volumes(cluster: AppCluster, found: Iterable[Object]) -> Iterator[Object]:
    for one in found:
        name = one["spec"].get("volumeName") if one["kind"] == CLAIM else None
        volume = cluster.get(VOLUME, name) if name else None
        if volume:
            yield volume
