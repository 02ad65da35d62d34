"""A cluster that outlives the command that started it: one process keeps it, others ask.

The process ends, and the whole cluster with it, on SIGTERM; should it be killed, all that it
started dies too.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import images
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.node import Node
from tests.cluster.snapshots import install_snapshots
from tests.cluster.vm_node import VmNode
from tests.cluster.waiting import wait_until
from tests.lvm.vm import ROOT, usable_cpus

_START_WITHIN = 1800.0  # seconds: a first start may build images


class NotDone(Exception):
    """What was asked for could not be done; the message says why."""


class Supervisor:
    """Keeps a cluster in a folder and does what comes through the folder's socket."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def serve(self, door: socket.socket) -> None:
        """Answer one after the other, for ever."""
        while True:
            caller, _ = door.accept()
            # Who does not wait for the answer is no reason to end.
            with contextlib.suppress(OSError), caller, caller.makefile("rw") as stream:
                stream.write(json.dumps(self._answer(json.loads(stream.readline()))))

    def _answer(self, words: Sequence[str]) -> dict[str, str]:
        try:
            return {"output": self._do(words[0], words[1:])}
        except Exception as error:  # noqa: BLE001 - whoever asked shall read it
            return {"error": str(error)}

    def _do(self, verb: str, words: Sequence[str]) -> str:
        match verb:
            case "add":
                return f"{self._cluster.add_node().name} is ready"
            case "load":
                for archive in words or [str(images.driver())]:
                    self._cluster.load(Path(archive))
                return "loaded; pods that run keep what they have"
            case "snapshots":
                install_snapshots(self._cluster)
                return "the snapshot CRDs and snapshot-controller are there"
            case "cut":
                node = self._node(words[0])
                if not isinstance(node, VmNode):
                    raise NotDone(f"{words[0]} is a container; `up --pool lvm` makes VMs")
                node.cut_power()
                return f"{words[0]} is off"
            case "boot":
                self._cluster.boot(self._node(words[0]))
                return f"{words[0]} is ready"
            case "stop-api-server":
                self._cluster.control_plane.api_server.kill()
                return "the API server is dead; start-api-server brings it back"
            case "start-api-server":
                self._cluster.control_plane.start_api_server()
                return "the API server is ready"
        raise NotDone(f"no such command: {verb}")

    def _node(self, name: str) -> Node:
        for node in self._cluster.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self._cluster.nodes)
        raise NotDone(f"no node {name}; there are {names}")


def start(folder: Path, pool: Pool, nodes: int, *, driver: bool) -> None:
    """Start a cluster in a new folder, in a process of its own; returns when it is ready."""
    if folder.exists():
        raise NotDone(f"{folder} exists: a cluster runs there, or `down` removes what is left")
    folder.mkdir(parents=True)
    log = folder / "supervisor.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", __name__, str(folder), pool, str(nodes)),
                "driver" if driver else "",
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    wait_until(
        lambda: _door(folder).exists() or process.poll() is not None,
        "the cluster is up",
        within=_START_WITHIN,
    )
    if process.poll() is not None:
        raise NotDone(f"the cluster does not start; its logs are in {folder}:\n{log.read_text()}")


def ask(folder: Path, *words: str) -> str:
    """Have the supervisor of the cluster in that folder do something. Raises NotDone."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(_door(folder)))
        except OSError as error:
            raise NotDone(f"no cluster runs in {folder}") from error
        with connection.makefile("rw") as stream:
            stream.write(f"{json.dumps(words)}\n")
            stream.flush()
            answer = json.loads(stream.read() or '{"error": "the cluster died"}')
    if "error" in answer:
        raise NotDone(answer["error"])
    return str(answer["output"])


def stop(folder: Path) -> None:
    """End the cluster in that folder, if one runs, and remove the folder."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = int((folder / "pid").read_text())
        if str(folder) in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGTERM)
            wait_until(functools.partial(_is_gone, pid), "the cluster has ended", within=60)
    shutil.rmtree(folder, ignore_errors=True)


def starter(folder: Path) -> list[str]:
    """The command that starts another one in the network of the cluster in that folder."""
    return ["nsenter", f"--net={(folder / 'network').read_text()}"]


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/cmdline").exists()


def _door(folder: Path) -> Path:
    return folder / "door"


def _main(folder: Path, pool: Pool, nodes: int, *, driver: bool) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (folder / "pid").write_text(str(os.getpid()))
    with Cluster(folder, pool, usable_cpus()) as cluster, socket.socket(socket.AF_UNIX) as door:
        (folder / "network").write_text(cluster.network.path)
        cluster.up(nodes, [images.driver()] if driver else [])
        door.bind(str(_door(folder)))
        door.listen()
        Supervisor(cluster).serve(door)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Pool(sys.argv[2]), int(sys.argv[3]), driver=sys.argv[4] == "driver")
