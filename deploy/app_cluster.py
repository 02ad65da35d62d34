"""An app's objects in a cluster: read, applied, listed, removed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from csi.errors import NotFound, Unavailable
from csi.kubernetes_api import KubernetesApi, Object
from deploy import labels
from deploy.obstacles import must_be_new, rolls_but_must_not

MANAGER = "kubectl-miren"
"""The field manager of what is applied."""

# The kinds that an app consists of, with the collections that hold them, the first to be removed
# first: what makes objects of another kind goes before these.
_COLLECTIONS = {
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/{}/horizontalpodautoscalers",
    "Deployment": "apis/apps/v1/{}/deployments",
    "Job": "apis/batch/v1/{}/jobs",
    "Service": "api/v1/{}/services",
    "Secret": "api/v1/{}/secrets",
    "PersistentVolumeClaim": "api/v1/{}/persistentvolumeclaims",
}
_VOLUMES = "/api/v1/persistentvolumes"
# What kubelet says, with status 200, in place of the log of a container that it has removed
# already, and of one whose log is gone or not there yet.
_NO_LOG = ("unable to retrieve container logs for ", "failed to try resolving symlinks in path ")
CLAIM = "PersistentVolumeClaim"
VOLUME = "PersistentVolume"


@dataclass(frozen=True, slots=True)
class AppCluster:
    """The objects of apps in one namespace. All verbs raise Unavailable."""

    api: KubernetesApi
    namespace: str

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        """Return the path of an object or, without a name, of its collection."""
        where = f"namespaces/{namespace or self.namespace}"
        collection = _VOLUMES if kind == VOLUME else "/" + _COLLECTIONS[kind].format(where)
        return f"{collection}/{name}" if name else collection

    def get(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, None when there is none."""
        try:
            return self.api.get(self.path(kind, name, namespace))
        except NotFound:
            return None

    def live(self, manifest: Object) -> Object | None:
        """Return the object that a manifest means, None when there is none."""
        return self.get(manifest["kind"], manifest["metadata"]["name"])

    def apply(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """Make an object so; returns it as it is then, or would be."""
        path = self.path(manifest["kind"], manifest["metadata"]["name"])
        live = self.live(manifest)
        if live and must_be_new(live, manifest):
            if dry_run:
                return manifest
            self.remove(manifest)
        if live and rolls_but_must_not(live, manifest):
            strategy = manifest["spec"]["strategy"]
            if dry_run:
                spec = {key: value for key, value in manifest["spec"].items() if key != "strategy"}
                after = self.api.apply(path, {**manifest, "spec": spec}, MANAGER, dry_run=True)
                return {**after, "spec": {**after["spec"], "strategy": strategy}}
            self.api.patch(path, {"spec": {"strategy": {**strategy, "rollingUpdate": None}}})
        return self.api.apply(path, manifest, MANAGER, dry_run=dry_run)

    def owned(self, app: str) -> Iterator[Object]:
        """Yield the objects of an app, its claims included, the first to be removed first."""
        for kind in _COLLECTIONS:
            for found in self.api.list(self.path(kind), _query(labels.of_app(app))):
                yield {"kind": kind, **found}

    def remove(self, found: Object) -> None:
        """Delete an object and what it has made."""
        name = found["metadata"]["name"]
        try:
            self.api.delete(self.path(found["kind"], name), propagation="Background")
        except NotFound:
            return

    def replica_sets(self, selector: Mapping[str, str]) -> list[Object]:
        """Return the ReplicaSets with these labels."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"
        return self.api.list(path, _query(selector))

    def pods(self, selector: Mapping[str, str]) -> list[Object]:
        """Return the pods with these labels, the newest first."""
        found = self.api.list(f"/api/v1/namespaces/{self.namespace}/pods", _query(selector))
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)

    def events(self, name: str) -> list[Object]:
        """Return the warnings about an object, the latest first."""
        query = {"fieldSelector": f"involvedObject.name={name},type=Warning"}
        found = self.api.list(f"/api/v1/namespaces/{self.namespace}/events", query)
        return sorted(found, key=seen, reverse=True)

    def log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> list[str]:
        """Return the last lines that a container has written, none when they cannot be had."""
        query = {"container": container, "tailLines": str(lines)}
        if previous:
            query["previous"] = "true"
        try:
            text = self.api.text(f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log", query)
        except (NotFound, Unavailable):  # of a container that starts again just now, for example
            return []
        return [] if text.startswith(_NO_LOG) else text.splitlines()


def _query(selector: Mapping[str, str]) -> dict[str, str]:
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in selector.items())}


def seen(event: Object) -> str:
    """Return when an event was seen last, in a form that sorts."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def is_of(found: Object, app: str) -> bool:
    """Tell whether an object is one that this program made for the app."""
    said = found["metadata"].get("labels") or {}
    return bool(labels.of_app(app).items() <= said.items())
