"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler of a cluster."""

import json
import subprocess
from pathlib import Path

from tests.cluster.audit import AuditLog
from tests.cluster.daemon import Daemon
from tests.cluster.network import API_SERVICE, GATEWAY, SERVICES, Network
from tests.cluster.pki import Identity, Pki
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

_PATIENCE = 120.0
_ETCD = "http://127.0.0.1:2379"
_ADDRESSES = (
    *("DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc"),
    *("IP:127.0.0.1", f"IP:{GATEWAY}", f"IP:{API_SERVICE}"),
)
# One line for each answered request, without bodies.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# A dead node counts as such after this many seconds; kubelets tell every quarter of it.
NODE_GRACE = 20


class ControlPlane:
    """Starts and stops; what was stored outlives the death of the API server."""

    def __init__(self, folder: Path, network: Network, pki: Pki) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._network = network
        self._pki = pki
        self._audit_file = folder / "audit.log"
        self.audit_log = AuditLog(self._audit_file)
        self.admin = pki.kubeconfig("admin", ["system:masters"])
        self._etcd = self._daemon("etcd", self._etcd_command())
        self.api_server = self._daemon("kube-apiserver", self._api_server_command())
        self._controllers = self._daemon("kube-controller-manager", self._controllers_command())
        self._scheduler = self._daemon("kube-scheduler", self._scheduler_command())

    def start(self) -> None:
        """Start what does not run, and wait until the API server answers."""
        self._etcd.start()
        self.start_api_server()
        # These two give up without an API server, so they come after it.
        self._controllers.start()
        self._scheduler.start()

    def start_api_server(self) -> None:
        """Start the API server if it does not run; wait until it answers."""
        self.api_server.start()
        wait_until(self._is_ready, "the API server is ready", within=_PATIENCE)

    def stop(self) -> None:
        """Kill all of it."""
        for daemon in (self._scheduler, self._controllers, self.api_server, self._etcd):
            daemon.kill()

    def _is_ready(self) -> bool:
        for daemon in (self._etcd, self.api_server):
            if not daemon.is_running:
                raise AssertionError(f"the control plane does not start:\n{daemon.last_words}")
        kubectl: list[str | Path] = [go_program("kubectl"), "--kubeconfig", self.admin]
        asked = subprocess.run(
            [*self._network.starter(), *kubectl, "get", "--raw", "/readyz", "--request-timeout=5s"],
            capture_output=True,
            check=False,
        )
        return asked.returncode == 0

    def _daemon(self, name: str, command: list[str]) -> Daemon:
        return Daemon([*self._network.starter(), *command], self._folder / f"{name}.log")

    def _etcd_command(self) -> list[str]:
        return [
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
        ]

    def _api_server_command(self) -> list[str]:
        policy = self._folder / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT_POLICY))
        serving = self._pki.issue("kube-apiserver", addresses=_ADDRESSES)
        to_kubelets = self._pki.issue("kube-apiserver-to-kubelets", ["system:masters"])
        return [
            str(go_program("kube-apiserver")),
            f"--etcd-servers={_ETCD}",
            "--bind-address=0.0.0.0",
            "--secure-port=443",
            f"--advertise-address={GATEWAY}",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--audit-log-path={self._audit_file}",
            f"--audit-policy-file={policy}",
            *self._api_server_keys(serving, to_kubelets),
        ]

    def _api_server_keys(self, serving: Identity, to_kubelets: Identity) -> list[str]:
        tokens = self._pki.service_accounts
        return [
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self._pki.ca.certificate}",
            f"--service-account-key-file={tokens}",
            f"--service-account-signing-key-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--kubelet-client-certificate={to_kubelets.certificate}",
            f"--kubelet-client-key={to_kubelets.key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controllers_command(self) -> list[str]:
        return [
            str(go_program("kube-controller-manager")),
            f"--kubeconfig={self._pki.kubeconfig('system:kube-controller-manager')}",
            f"--root-ca-file={self._pki.ca.certificate}",
            f"--service-account-private-key-file={self._pki.service_accounts}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--node-monitor-grace-period={NODE_GRACE}s",
        ]

    def _scheduler_command(self) -> list[str]:
        kubeconfig = self._pki.kubeconfig("system:kube-scheduler")
        return [
            str(go_program("kube-scheduler")),
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
        ]
