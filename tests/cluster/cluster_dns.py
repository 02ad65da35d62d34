"""The real CoreDNS, for tests that look names up in pods.

It runs beside the API server, without a Service of its own: kubelet tells all pods of its address.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cluster import Cluster
from tests.cluster.daemon import Daemon
from tests.cluster.network import GATEWAY
from tests.cluster.node import Node
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

# What an ordinary cluster's would ask other servers for, there is nowhere.
_COREFILE = """
cluster.local {{
    errors
    kubernetes {{
        kubeconfig {kubeconfig}
    }}
}}
. {{
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


@contextmanager
def cluster_dns(kubernetes: Cluster, node: Node) -> Iterator[None]:
    """Names of Services can be looked up in pods, and on `node` it was tried."""
    corefile = kubernetes.folder / "Corefile"
    corefile.write_text(_COREFILE.format(kubeconfig=kubernetes.kubectl.kubeconfig))
    command = [str(go_program("coredns")), "-conf", str(corefile)]
    log = kubernetes.folder / "coredns.log"
    server = Daemon([*kubernetes.network.starter(), *command], log)

    def answers() -> bool:
        assert server.is_running, server.last_words
        ask = f"busybox nslookup kubernetes.default.svc.cluster.local {GATEWAY}"
        return node.try_to_run(ask).status == 0

    server.start()
    try:
        wait_until(answers, "the cluster's DNS answers", within=60, every=0.5)
        yield
    finally:
        server.kill()
