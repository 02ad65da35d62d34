"""Killing the driver's containers, and what runs them, with SIGKILL at a moment of one's choice."""

import shlex
import uuid
from collections.abc import Iterable

from tests.cluster.driver import Driver
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

_WAITS = 120


def kill_all(node: Node, containers: Iterable[str]) -> None:
    """Kill containers, by their ids, at once."""
    node.run(f"kill -KILL {' '.join(map(str, _pids(node, containers)))}")


def kill_service(node: Node, name: str) -> None:
    """Kill `kubelet` or `containerd`, and wait until the node has started it again."""
    pid = node.run(f"cat /run/{name}.pid")
    node.kill(name)
    wait_until(lambda: node.run(f"cat /run/{name}.pid") != pid, f"{name} is back", within=30)


def _pids(node: Node, containers: Iterable[str]) -> list[int]:
    wanted = {container.removeprefix("containerd://") for container in containers}
    tasks = node.run("ctr --namespace k8s.io tasks list")
    rows = map(str.split, tasks.splitlines())
    # One that has ended may be listed with 0, by which kill(1) means the node itself.
    return [int(row[1]) for row in rows if row[0] in wanted and row[2] == "RUNNING"]


class Victim:
    """One container of the driver: `driver` or a sidecar of the `controller` or the `node` pod."""

    def __init__(self, driver: Driver, node: Node, component: str, container: str) -> None:
        """Find it as it runs now, on the node."""
        self._driver = driver
        self._node = node
        self._component = component
        self._container = container
        self._id = self._current_id()
        (self._pid,) = _pids(node, [self._id])

    def kill(self) -> None:
        """Kill it now."""
        self._node.run(f"kill -KILL {self._pid}")

    def freeze(self) -> None:
        """Let it do no more: calls that come now are under way until it is killed."""
        self._node.run(f"kill -STOP {self._pid}")

    def kill_when(self, condition: str) -> "Trap":
        """Kill it as soon as a condition in bash is true on its node."""
        mark = f"killed-{uuid.uuid4().hex}"
        self._node.run(
            f"""( until {condition}; do ((SECONDS < {_WAITS})) || exit; sleep 0.01; done
            kill -KILL {self._pid} && touch {shlex.quote(f"/run/share/{mark}")}
            ) >/dev/null 2>&1 &"""
        )
        return Trap(self._node, mark)

    def comes_back(self) -> None:
        """Wait until it was started again and all of the driver is ready."""
        wait_until(lambda: self._current_id() != self._id, "it was started again", within=120)
        self._driver.ready()

    def _current_id(self) -> str:
        path = f"{{.status.containerStatuses[?(@.name=='{self._container}')].containerID}}"
        pod = self._driver.pod(self._component)
        found = self._driver.kubectl("get", "pod", pod, "--output", f"jsonpath={path}")
        return found.removeprefix("containerd://")


class Trap:
    """A kill that waits for its moment."""

    def __init__(self, node: Node, mark: str) -> None:
        self._mark = node.share / mark

    def snaps(self) -> None:
        """Wait until it has killed."""
        wait_until(self._mark.exists, "the moment to kill came", within=_WAITS)

    @property
    def has_snapped(self) -> bool:
        """Whether it has killed."""
        return self._mark.exists()
