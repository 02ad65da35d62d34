"""An app that writes numbered records to its disk, and notes elsewhere which it has synced."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.apps import Apps, claim, new_namespace, pod
from tests.cluster.cluster import Cluster
from tests.cluster.kubectl import KubectlError
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until

HONEST = 5.0
"""Seconds that a record may be late, beyond what the node's own disk is late at that moment."""

# The notes lie on the machine that runs the node, so a power cut takes nothing of them. The pulse
# is the same work on the container's own disk: it tells how slow everything is at the moment.
_PROGRAM = """
trap exit TERM
append() { echo $1 | dd of=$2 oflag=append conv=notrunc,fsync 2>/dev/null; }
run=$(cat /proc/sys/kernel/random/uuid)
count=$(wc -l 2>/dev/null </data/log || echo 0)
while append beat /pulse; read up rest </proc/uptime; do
    echo $up >>/notes/pulse
    usleep 200000
done &
while true; do
    count=$((count + 1))
    append $count /data/log || exit 1
    read up rest </proc/uptime
    echo $count $run $up >>/notes/synced
    usleep 200000
done
"""
_CLAIM = "data"


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was synced."""

    number: int
    run: str
    """Which process wrote it."""
    at: float
    """When, in seconds since the node's boot."""


class Writer:
    """The app's claim, and its pod if it has one."""

    def __init__(self, apps: Apps, node: Node) -> None:
        """Make the claim; args: node: where the pods will run."""
        self.apps = apps
        self.pod = ""
        """The latest pod's name."""
        self._folder = f"notes-{apps.namespace}"
        self._notes = node.share / self._folder
        apps.apply(claim(_CLAIM))
        self.volume = f"pvc-{apps.get('pvc', _CLAIM)['metadata']['uid']}"
        """The PV's and the disk's name."""

    @property
    def staging(self) -> str:
        """Where kubelet has the disk staged."""
        digest = hashlib.sha256(self.volume.encode()).hexdigest()
        csi = "/var/lib/kubelet/plugins/kubernetes.io/csi"
        return f"{csi}/disk.csi.miren.dev/{digest}/globalmount"

    @property
    def owner(self) -> str:
        """The pod as leases name it."""
        return f"{self.apps.namespace}/{self.pod}"

    def apply(self, name: str = "writer") -> None:
        """Make a pod."""
        manifest = pod(name, {"/data": _CLAIM})
        (container,) = manifest["spec"]["containers"]
        container["command"] = ["sh", "-c", _PROGRAM]
        container["volumeMounts"].append({"name": "notes", "mountPath": "/notes"})
        folder = {"path": f"/run/share/{self._folder}", "type": "DirectoryOrCreate"}
        manifest["spec"]["volumes"].append({"name": "notes", "hostPath": folder})
        self.apps.apply(manifest)
        self.pod = name

    def start(self, name: str = "writer", within: float = 120) -> None:
        """Make a pod and wait until it writes."""
        self.apply(name)
        self.apps.ready(name, within)
        self.goes_on()

    def stop(self) -> None:
        """Delete the pod and wait until it is gone."""
        self.apps.delete("pod", self.pod)

    def synced(self) -> list[Record]:
        """All records that were synced, in the order in which they were."""
        lines = map(str.split, _lines(self._notes / "synced"))
        return [Record(int(number), run, float(at)) for number, run, at in lines]

    def goes_on(self, within: float = 60) -> None:
        """Wait until it has synced some more records."""
        before = len(self.synced())
        wait_until(lambda: len(self.synced()) >= before + 5, "it writes", within=within)

    def lost(self) -> list[int]:
        """Numbers of records that were synced, and are not on its disk as it sees that."""
        synced = self.synced()  # first: it goes on writing
        lines = self.apps.run(self.pod, "cat /data/log").splitlines()
        there = [int(line) for line in lines]
        assert there == [*range(1, len(there) + 1)], "records are damaged"
        return [record.number for record in synced if record.number > len(there)]

    def wrote_at_once(self) -> list[str]:
        """Processes that wrote when another one did already."""
        runs = [record.run for record in self.synced()]
        changes = [run for before, run in zip(["", *runs], runs, strict=False) if before != run]
        return sorted({run for run in changes if changes.count(run) > 1})

    def silence(self, since: Record) -> float:
        """The longest time without a record, in seconds, less what another disk stood still too.

        Of one boot, and one pod.
        """
        times = [record.at for record in self.synced() if record.at >= since.at]
        pulse = [float(line) for line in _lines(self._notes / "pulse")]
        gaps = []
        for begin, end in itertools.pairwise(times):
            beats = [begin, *(beat for beat in pulse if begin < beat < end), end]
            still = max(after - before for before, after in itertools.pairwise(beats))
            gaps.append(end - begin - still)
        return max(gaps)

    @property
    def container(self) -> tuple[str, int]:
        """The id of the pod's container, and how often it was restarted."""
        (status,) = self.apps.get("pod", self.pod)["status"]["containerStatuses"]
        return status["containerID"], status["restartCount"]

    def is_running(self) -> bool:
        """Tell whether its pod is there and ready."""
        try:
            self.apps.ready(self.pod, within=1)
        except KubectlError:
            return False
        return True


def _lines(file: Path) -> list[str]:
    # The last one may be half written.
    return file.read_text().split("\n")[:-1] if file.exists() else []


@contextmanager
def a_writer(kubernetes: Cluster, node: Node) -> Iterator[Writer]:
    """An app that runs and writes, in a namespace of its own."""
    with new_namespace(kubernetes) as name:
        writer = Writer(Apps(kubernetes, name), node)
        writer.start()
        yield writer
