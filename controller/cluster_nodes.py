"""The pools of a cluster's nodes: which nodes have one, and where their plugins answer.

A node has a pool when it carries the coordinator's label, or that of further nodes. That its plugin
does not run changes nothing about that: its disks are there, and asking for them fails with
UNAVAILABLE.
"""

import base64
import threading
import time
from collections.abc import Mapping

from controller.pool import Pool
from controller.remote_pool import RemotePool
from csi import COORDINATOR_LABEL, POOL_LABEL, key_pair
from csi.errors import InvalidRequest, NotFound
from csi.key_pair import CERTIFICATE, KEY, KeyPair
from csi.kubernetes_api import Conflict, KubernetesApi, Object

SECRET = "miren-csi-pool"
"""The Secret with the key pair, in the driver's namespace."""

AGE = 5.0
"""Seconds for which the addresses of the plugins are good."""

_PLUGINS = "app.kubernetes.io/name=miren-csi,app.kubernetes.io/component=node"


class ClusterNodes:
    """Finds pools; to be called whenever one is needed."""

    def __init__(self, api: KubernetesApi, namespace: str, port: int, keys: KeyPair) -> None:
        """Args: namespace: of the plugins' pods; port: where they serve their pools."""
        self._api = api
        self._namespace = namespace
        self._port = port
        self._keys = keys
        self._lock = threading.Lock()
        self._read = -AGE
        self._pools: dict[str, RemotePool] = {}
        self._coordinators: list[str] = []

    def __call__(self) -> Mapping[str, Pool]:
        """Return the pools by node; raises Unavailable when the API server cannot be asked."""
        with self._lock:
            self._refresh()
            return self._pools

    def coordinator(self) -> str:
        """Return the coordinator, empty when no node or several are labelled so.

        Raises Unavailable when the API server cannot be asked.
        """
        with self._lock:
            self._refresh()
            return self._coordinators[0] if len(self._coordinators) == 1 else ""

    def _refresh(self) -> None:
        if time.monotonic() - self._read >= AGE:
            self._update()
            self._read = time.monotonic()

    def _labelled(self, label: str) -> list[str]:
        found = self._api.list("/api/v1/nodes", {"labelSelector": f"{label}=true"})
        return [node["metadata"]["name"] for node in found]

    def _update(self) -> None:
        self._coordinators = self._labelled(COORDINATOR_LABEL)
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        plugins = self._api.list(path, {"labelSelector": _PLUGINS})
        addresses = {plugin["spec"].get("nodeName"): _address(plugin) for plugin in plugins}
        names = {*self._coordinators, *self._labelled(POOL_LABEL)}
        self._pools = {name: self._pool(name, addresses.get(name) or "") for name in names}

    def _pool(self, node: str, ip: str) -> RemotePool:
        host = f"[{ip}]" if ":" in ip else ip
        address = f"{host}:{self._port}" if ip else ""
        known = self._pools.get(node)
        if known is not None and known.address == address:
            return known
        if known is not None:
            known.close()
        return RemotePool(node, address, self._keys)


def _address(plugin: Object) -> str:
    """Return the IP of a pod that is there to stay, else nothing."""
    if "deletionTimestamp" in plugin["metadata"]:
        return ""
    return str((plugin.get("status") or {}).get("podIP", ""))


def keys_of(api: KubernetesApi, namespace: str) -> KeyPair:
    """Return the key pair in the cluster's Secret, made by whoever comes first.

    Raises Unavailable, or InvalidRequest when the Secret holds something else.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        found = api.get(f"{path}/{SECRET}")
    except NotFound:
        try:
            found = api.create(path, _secret(key_pair.make()))
        except Conflict:
            found = api.get(f"{path}/{SECRET}")
    try:
        data = found["data"]
        return KeyPair(base64.b64decode(data[CERTIFICATE]), base64.b64decode(data[KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(
            f"the Secret {namespace}/{SECRET} has no {CERTIFICATE} and {KEY}: delete it, and start "
            "all plugins anew"
        ) from error


def _secret(keys: KeyPair) -> Object:
    data = {CERTIFICATE: keys.certificate, KEY: keys.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
