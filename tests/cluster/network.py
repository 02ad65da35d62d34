"""The cluster's own network: a nameless network namespace with a bridge.

It goes with the last process in it, and the bridge and what is plugged into it too, so that nothing
of it can be left behind, and several clusters with the same addresses can run side by side.
"""

import subprocess
from pathlib import Path

GATEWAY = "10.200.0.1"
"""The control plane's address, and every node's way out."""
API_SERVICE = "10.96.0.1"
"""The address of the Service `kubernetes`. The API server itself listens on it: no kube-proxy."""
SERVICES = "10.96.0.0/16"

_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def node_address(number: int) -> str:
    return f"10.200.0.{10 + number}"


def pod_subnet(number: int) -> str:
    return f"10.201.{number}.0/24"


class Network:
    """A network namespace, from its making to `close`."""

    def __init__(self) -> None:
        script = f"""set -e
            ip link set lo up
            ip link add br0 type bridge
            ip addr add {GATEWAY}/24 dev br0
            ip addr add {API_SERVICE}/32 dev br0
            ip link set br0 up
            echo 1 >/proc/sys/net/ipv4/ip_forward
            echo made
            exec sleep infinity"""
        self._holder = subprocess.Popen(
            [*_DIES_WITH_US, "unshare", "--net", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"made\n":
            reason = self._holder.stderr.read().decode().strip()
            self.close()
            raise OSError(f"no network namespace for the cluster: {reason}")
        self.identity = str(Path(self.path).readlink())
        """What /proc/PID/ns/net of the processes in it points at."""

    @property
    def path(self) -> str:
        """The file that stands for the namespace."""
        return f"/proc/{self._holder.pid}/ns/net"

    def starter(self) -> list[str]:
        """The command that starts another one in the namespace."""
        return ["nsenter", f"--net={self.path}"]

    def route_pods(self, number: int) -> None:
        """Make the way to the pods of a node."""
        self._run("ip", "route", "add", pod_subnet(number), "via", node_address(number))

    def add_tap(self, number: int) -> str:
        """Make the tap device of a node that is a VM; returns its name."""
        tap = f"tap{number}"
        self._run("ip", "tuntap", "add", tap, "mode", "tap")
        self._run("ip", "link", "set", tap, "master", "br0", "up")
        # User-Mode Linux's driver knows no offloads: with them no TCP connection lives long.
        offloads = [word for name in ("tx", "sg", "tso", "gso", "gro") for word in (name, "off")]
        self._run("ethtool", "-K", tap, *offloads)
        return tap

    def close(self) -> None:
        """Let go of the namespace; it is gone once all that was started in it has ended."""
        self._holder.kill()
        self._holder.communicate()

    def _run(self, *command: str) -> None:
        ended = subprocess.run(
            [*self.starter(), *command], capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise OSError(f"{' '.join(command)}: {ended.stderr.strip()}")
