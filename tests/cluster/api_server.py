"""A real API server, kube-apiserver with etcd, on this machine's loopback interface."""

import contextlib
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csi import DEFAULT_NAMESPACE
from tests.cluster.programs import go_program

if TYPE_CHECKING:
    from controller.lease_objects import LeaseObjects


_TOKENS = {"admin": "the-admin-of-the-tests", "nobody": "who-has-no-rights"}
_PATIENCE = 120.0


class ApiServer:
    """Starts and stops; what was stored outlives a stop."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: for its data, keys and logs."""
        self._folder = folder
        self._etcd_ports = (_free_port(), _free_port())
        self._port = _free_port()
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> "ApiServer":
        """Start what does not run, and wait until it answers."""
        if self._etcd is None:
            self._prepare()
            self._etcd = self._run("etcd", self._etcd_command())
        if self._server is None:
            self._server = self._run("kube-apiserver", self._server_command())
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready():
            if self._server.poll() is not None or time.monotonic() > deadline:
                log = (self._folder / "kube-apiserver.log").read_text()
                raise AssertionError(f"kube-apiserver does not start:\n{log[-4000:]}")
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        """Kill the API server; its data stays."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End all of it."""
        self.kill()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()
            self._etcd = None

    def request(
        self, method: str, path: str, body: object = None, content: str = "application/json"
    ) -> dict[str, Any]:
        """Ask for something as the cluster's admin; raises HTTPError."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._port}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {_TOKENS['admin']}", "Content-Type": content},
        )
        context = ssl.create_default_context(cafile=str(self._certificate))
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            text = answer.read()
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            return {"text": text.decode()}
        return found

    @property
    def _certificate(self) -> Path:
        return self._folder / "pki" / "apiserver.crt"

    def _prepare(self) -> None:
        lines = (
            f"{token},{user},{user},{'system:masters' if user == 'admin' else ''}\n"
            for user, token in _TOKENS.items()
        )
        (self._folder / "tokens.csv").write_text("".join(lines))
        key = self._folder / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        for user in _TOKENS:
            self.kubeconfig(user).write_text(json.dumps(self._kubeconfig(user)))

    def kubeconfig(self, user: str = "admin") -> Path:
        """A kubeconfig of `admin`, who may do everything, or `nobody`, who may do nothing."""
        return self._folder / f"kubeconfig-{user}"

    def _kubeconfig(self, user: str) -> object:
        cluster = {
            "server": f"https://127.0.0.1:{self._port}",
            "certificate-authority": str(self._certificate),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": _TOKENS[user]}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
            "current-context": "tests",
        }

    def _run(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _etcd_command(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        return [
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]

    def _server_command(self) -> list[str]:
        key = self._folder / "service-account.key"
        return [
            str(go_program("kube-apiserver")),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_ports[0]}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            f"--cert-dir={self._certificate.parent}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
        ]

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, urllib.error.URLError, ssl.SSLError):
            return self.request("GET", "/readyz") == {"text": "ok"}
        return False


class Cluster:
    """A namespace of its own in a cluster; the driver reaches it by KUBECONFIG."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        """Args: server: a running one; namespace: a new one."""
        self._server = server
        self.namespace = namespace
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        with contextlib.suppress(urllib.error.HTTPError):  # some are there from the start
            server.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})

    def store(self) -> "LeaseObjects":
        """The store that a driver opens."""
        # It takes a second and memory, which most tests can do without.
        from controller.lease_objects import LeaseObjects
        from csi.kubernetes_api import KubernetesApi

        return LeaseObjects(KubernetesApi(), self.namespace)

    def pod(self, name: str, claim: str = "", node: str = "") -> None:
        """Make a pod that uses a claim, scheduled or not; nothing runs it."""
        namespace = f"/api/v1/namespaces/{self.namespace}"
        with contextlib.suppress(urllib.error.HTTPError):  # it is there
            account = {"metadata": {"name": "default"}}
            self._server.request("POST", f"{namespace}/serviceaccounts", account)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
        spec = {"containers": [{"name": "app", "image": "none"}], "volumes": volumes}
        pod = {"metadata": {"name": name}, "spec": spec | ({"nodeName": node} if node else {})}
        self._server.request("POST", f"{namespace}/pods", pod)

    def delete_pod(self, name: str) -> None:
        """Delete a pod as `kubectl delete --force` does."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}?gracePeriodSeconds=0"
        self._server.request("DELETE", path)

    def get(self, lease: str) -> dict[str, Any]:
        """A Lease object."""
        return self._server.request("GET", f"{self._leases}/{lease}")

    def create(self, lease: str, spec: object) -> None:
        """Make a Lease object as a stranger does."""
        self._server.request("POST", self._leases, {"metadata": {"name": lease}, "spec": spec})

    def patch(self, lease: str, patch: object) -> None:
        """Change a Lease object as `kubectl patch --type merge` does."""
        content = "application/merge-patch+json"
        self._server.request("PATCH", f"{self._leases}/{lease}", patch, content)


def driver_namespace(server: ApiServer) -> Cluster:
    """The namespace that a driver has outside of a cluster, without the leases of earlier ones.

    One that was killed would lead for half a minute more.
    """
    cluster = Cluster(server, DEFAULT_NAMESPACE)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
    server.request("DELETE", path)
    return cluster


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
