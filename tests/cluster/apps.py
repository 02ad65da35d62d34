"""What a user of the cluster applies: claims, pods; and what he does in them."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.cluster.cluster import Cluster

Manifest = dict[str, Any]

EXCLUSIVE = "ReadWriteOncePod"
SIZE = "64Mi"


def claim(
    name: str,
    *,
    size: str = SIZE,
    mode: str = EXCLUSIVE,
    block: bool = False,
    volume: str = "",
    source: Manifest | None = None,
    storage_class: str = "miren-disk",
) -> Manifest:
    """A PersistentVolumeClaim; `source` is its dataSource, `volume` its volumeName."""
    spec: Manifest = {
        "storageClassName": storage_class,
        "accessModes": [mode],
        "resources": {"requests": {"storage": size}},
    }
    spec |= {"volumeMode": "Block"} if block else {}
    spec |= {"volumeName": volume} if volume else {}
    spec |= {"dataSource": source} if source else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": spec,
    }


def pod_spec(claims: Mapping[str, str], *, blocks: Mapping[str, str] | None = None) -> Manifest:
    """A pod's spec: paths in its container, and the claims that are there."""
    volumes = {**claims, **(blocks or {})}.values()
    return {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": "busybox:1.35",
                "command": ["sh", "-c", "trap exit TERM; sleep 1000000 & wait"],
                "volumeMounts": [{"name": c, "mountPath": path} for path, c in claims.items()],
                "volumeDevices": [
                    {"name": c, "devicePath": path} for path, c in (blocks or {}).items()
                ],
            }
        ],
        "volumes": [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in volumes],
    }


def pod(name: str, claims: Mapping[str, str], **spec: Any) -> Manifest:
    """A pod that does nothing by itself; `spec` adds to its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": pod_spec(claims) | spec,
    }


@contextmanager
def new_namespace(kubernetes: Cluster) -> Iterator[str]:
    """A namespace of its own; all in it is deleted with it, some time after."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubernetes.kubectl("create", "namespace", name)
    yield name
    kubernetes.kubectl("delete", "namespace", name, "--wait=false")


class Apps:
    """One namespace, as its user sees it."""

    def __init__(self, kubernetes: Cluster, namespace: str) -> None:
        self._kubernetes = kubernetes
        self.namespace = namespace

    def kubectl(self, *words: str, stdin: str = "", within: float = 60) -> str:
        """kubectl in this namespace."""
        words = ("--namespace", self.namespace, *words)
        return self._kubernetes.kubectl(*words, stdin=stdin, within=within)

    def apply(self, *manifests: Manifest) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, manifests)))

    def get(self, *names: str) -> Manifest:
        """An object, or a list."""
        return self._kubernetes.get(*names, namespace=self.namespace)

    def wait(self, what: str, condition: str, within: float = 60) -> None:
        """kubectl wait."""
        self._kubernetes.wait(what, condition, namespace=self.namespace, within=within)

    def start(self, name: str, claims: Mapping[str, str], **spec: Any) -> None:
        """Make a pod and wait until it runs."""
        self.apply(pod(name, claims, **spec))
        self.ready(name)

    def ready(self, pod: str, within: float = 60) -> None:
        """Wait until a pod runs."""
        self.wait(f"pod/{pod}", "condition=Ready", within)

    def run(self, pod: str, command: str) -> str:
        """Run a shell command in a pod; raises KubectlError when it fails."""
        return self.kubectl("exec", pod, "--", "sh", "-c", command)

    def delete(self, *what: str) -> None:
        """kubectl delete, until it is gone."""
        self.kubectl("delete", *what, "--timeout=60s", within=70)

    def volume_of(self, claim: str) -> Manifest:
        """The PV that a claim is bound to."""
        return self.get("pv", self.get("pvc", claim)["spec"]["volumeName"])

    def events(self, about: str) -> list[str]:
        """The messages of all events about an object."""
        select = f"involvedObject.name={about}"
        found = json.loads(self.kubectl("get", "events", "--field-selector", select, "-o", "json"))
        return [event["message"] for event in found["items"]]
