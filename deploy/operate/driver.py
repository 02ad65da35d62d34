"""The driver of a cluster, asked from outside: CSI calls, made in its own pods."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from csi import DRIVER_NAME, call_words
from csi.errors import DiskError, NotFound, Unavailable
from csi.kubernetes_api import KubernetesApi, Object

_CONTAINER = "driver"
_KUBELET_DIR = "/var/lib/kubelet"
_NODE_SOCKET = f"{{}}/plugins/{DRIVER_NAME}/csi.sock"
_PORT = 9808
_WITHIN = 160.0
"""Seconds for a call: a little longer than it gives itself."""


class CallFailed(DiskError):
    """The driver refuses a call; the message is its own sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """As gRPC calls it: NOT_FOUND."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver that is installed in a namespace."""

    api: KubernetesApi
    namespace: str

    def control(self, method: str, **request: Any) -> Object:
        """Make a call to a controller plugin; raises CallFailed, Unavailable."""
        pod = next(self._ready("controller"), None)
        if pod is None:
            raise Unavailable(
                f"no controller of the driver is ready in namespace {self.namespace}: see "
                f"kubectl get pods -n {self.namespace}"
            )
        return self._call(pod, call_words.SOCKET, method, request)

    def expand_on_node(self, disk: str, volume: str, node: str, pod_uid: str) -> None:
        """Let the filesystem of a disk that a pod has mounted grow; raises as `control`."""
        ready = self._ready("node")
        pod = next((one for one in ready if one["spec"].get("nodeName") == node), None)
        if pod is None:
            raise Unavailable(f"the node plugin on {node} is not ready")
        folder = _kubelet_dir(pod)
        path = f"{folder}/pods/{pod_uid}/volumes/kubernetes.io~csi/{volume}/mount"
        request = {"volume_id": disk, "volume_path": path}
        self._call(pod, f"unix://{_NODE_SOCKET.format(folder)}", "NodeExpandVolume", request)

    def pods(self, component: str) -> list[Object]:
        """Return the pods of the `controller` or the `node` plugin."""
        labels = f"app.kubernetes.io/name=miren-csi,app.kubernetes.io/component={component}"
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        return self.api.list(path, {"labelSelector": labels})

    def page(self, pod: Object, name: str) -> str:
        """Return a page that a pod of the driver serves over HTTP; raises NotFound, Unavailable."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
        return self.api.text(f"{path}:{_PORT}/proxy/{name}")

    def _ready(self, component: str) -> Iterator[Object]:
        for pod in self.pods(component):
            conditions = (pod.get("status") or {}).get("conditions") or []
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            if ready and not pod["metadata"].get("deletionTimestamp"):
                yield pod

    def _call(self, pod: Object, endpoint: str, method: str, request: Object) -> Object:
        name = pod["metadata"]["name"]
        words = ["miren-csi", call_words.COMMAND, f"--endpoint={endpoint}", method]
        command = [*words, json.dumps(request)]
        try:
            ran = self.api.run(self.namespace, name, _CONTAINER, command, within=_WITHIN)
        except NotFound as error:
            raise Unavailable(f"pod {name} has just gone; try again") from error
        try:
            answer = json.loads(ran.output)
        except ValueError:
            said = (ran.errors or ran.output).strip() or f"status {ran.status}"
            raise Unavailable(f"{method} in pod {name}: {said}") from None
        # Not the status, of which 0 proves nothing (Ran.status).
        if "code" in answer:
            raise CallFailed(answer["code"], answer["message"])
        return dict(answer)


def _kubelet_dir(pod: Object) -> str:
    words = pod["spec"]["containers"][0].get("args") or []
    found = (re.fullmatch(r"--kubelet-dir=(.+)", word) for word in words)
    return next((one[1] for one in found if one), _KUBELET_DIR)
