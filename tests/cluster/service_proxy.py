"""The real kube-proxy on one node, for tests that connect to Services by their addresses.

Other tests go without it: its iptables commands cost a node in User-Mode Linux seconds of its CPU.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.cluster import Cluster
from tests.cluster.node import Node
from tests.cluster.programs import go_program
from tests.cluster.waiting import wait_until

_USER = "system:kube-proxy"  # RBAC lets it by default
_KUBECONFIG = "/run/share/kube-proxy.kubeconfig"
_TOOLS = "/run/iptables"
_PID = "/run/kube-proxy.pid"
# The API server itself listens on its Service's address: connections to it shall stay as they are.
_PROXIED_BY = "service.kubernetes.io/service-proxy-name"
_POD_ADDRESSES = "10.201.0.0/16"
# Its kernel loads no module by itself. Without those of IPv6 kube-proxy leaves that out.
_MODULES = """
    iptable_nat iptable_filter iptable_mangle ipt_REJECT nf_conntrack_netlink xt_addrtype
    xt_comment xt_conntrack xt_mark xt_MASQUERADE xt_nat xt_statistic xt_tcpudp
"""


@contextmanager
def service_proxy(kubernetes: Cluster, node: Node) -> Iterator[None]:
    """Services can be reached from the node's pods, also from themselves."""
    (node.share / "kube-proxy.kubeconfig").write_text(
        kubernetes.as_user(_USER).kubeconfig.read_text()
    )
    options = {
        "kubeconfig": _KUBECONFIG,
        "hostname-override": node.name,
        "proxy-mode": "iptables",
        "cluster-cidr": _POD_ADDRESSES,
        "iptables-min-sync-period": "3s",
        # Limits that only a whole machine has.
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-established": 0,
        "conntrack-tcp-timeout-close-wait": 0,
    }
    kubernetes.kubectl("label", "--overwrite", "service", "kubernetes", f"{_PROXIED_BY}=none")
    program = str(go_program("kube-proxy"))
    start = shlex.join([program, *(f"--{key}={value}" for key, value in options.items())])
    node.run(
        f"""set -e
        for module in {" ".join(_MODULES.split())}; do modprobe -d /run/modules $module; done
        # nf_tables, which Debian's iptables uses by default, misses too much in this kernel.
        mkdir -p {_TOOLS}
        for part in "" -save -restore; do
            ln -sf $(which iptables-legacy$part) {_TOOLS}/iptables$part
        done
        PATH={_TOOLS}:$PATH setsid {start} >/run/share/kube-proxy.log 2>&1 </dev/null &
        echo $! >{_PID}"""
    )
    healthy = "busybox wget -q -O - http://127.0.0.1:10256/healthz"
    wait_until(lambda: node.try_to_run(healthy).status == 0, "kube-proxy works", within=60, every=1)
    yield
    node.run(f"kill $(cat {_PID}); PATH={_TOOLS}:$PATH {program} --cleanup 2>/dev/null")
    kubernetes.kubectl("label", "service", "kubernetes", f"{_PROXIED_BY}-")
