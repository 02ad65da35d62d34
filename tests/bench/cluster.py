"""The driver in a real cluster: how fast pods start, what it asks of the API server, its memory.

`python -m tests.bench.cluster`. Absolute times depend on the machine; the ratios are of medians
measured in turns in one run.
"""

import argparse
import gzip
import itertools
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import images
from tests.cluster.apps import Apps, Manifest, claim, pod
from tests.cluster.audit import WRITES
from tests.cluster.cluster import Cluster, Pool
from tests.cluster.driver import NAMESPACE, Driver
from tests.cluster.snapshots import install_snapshots
from tests.cluster.story import PASSING, storage_class
from tests.cluster.waiting import wait_until
from tests.lvm.vm import usable_cpus

_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:miren-csi-controller"
_SETTLE = 20.0
_MIB = 1 << 20


def main() -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="tests.bench.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="pods of each kind")
    parser.add_argument("--minutes", type=float, default=2, help="of each count of API requests")
    chosen = parser.parse_args()
    _image_size()
    with tempfile.TemporaryDirectory(prefix="miren-bench-") as name, _cluster(Path(name)) as bench:
        bench.pod_starts(chosen.rounds)
        bench.requests(chosen.minutes)
    return 0


def _image_size() -> None:
    archive = images.driver()
    with archive.open("rb") as source, tempfile.TemporaryFile() as packed:
        with gzip.open(packed, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, _MIB)
        print(f"image: {archive.stat().st_size / _MIB:.0f} MiB, {packed.tell() / _MIB:.0f} packed")


@contextmanager
def _cluster(folder: Path) -> Iterator["Bench"]:
    with Cluster(folder / "cluster", Pool.LVM, usable_cpus()) as kubernetes:
        kubernetes.up(archives=[images.driver()])
        install_snapshots(kubernetes)
        (folder / "mine").mkdir()
        driver = Driver(kubernetes, folder / "mine")
        driver.install(kubernetes.nodes[0])
        kubernetes.kubectl("create", "namespace", "bench")
        yield Bench(kubernetes, driver)


class Bench:
    """Measures in a cluster of its own."""

    def __init__(self, kubernetes: Cluster, driver: Driver) -> None:
        self._kubernetes = kubernetes
        self._driver = driver
        self._apps = Apps(kubernetes, "bench")
        self._numbers = itertools.count()

    def pod_starts(self, rounds: int) -> None:
        """Start pods of each kind in turns, from `kubectl apply` to Ready."""
        kinds: Mapping[str, Callable[[], Sequence[Manifest]]] = {
            "with an emptyDir": self._with_empty_dir,
            "with a disk that was there": self._with_old_disk,
            "with a new disk": self._with_new_disk,
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        self._start(self._with_old_disk())  # which makes it
        for _ in range(rounds):
            for kind, manifests in kinds.items():
                times[kind].append(self._start(manifests()))
        print(f"\nstart of a pod, medians of {rounds} in turns:")
        base = statistics.median(times["with an emptyDir"])
        for kind, seconds in times.items():
            median = statistics.median(seconds)
            spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
            print(f"  {kind:28} {median:6.2f} s ({spread}) {median / base:6.2f}", flush=True)

    def _start(self, manifests: Sequence[Manifest]) -> float:
        began = time.monotonic()
        self._apps.apply(*manifests)
        name = manifests[-1]["metadata"]["name"]
        self._apps.ready(name)
        took = time.monotonic() - began
        self._apps.delete("pod", name)
        return took

    def _name(self) -> str:
        return f"one-{next(self._numbers)}"

    def _with_empty_dir(self) -> Sequence[Manifest]:
        return [pod(self._name(), {"/data": "data"}, volumes=[{"name": "data", "emptyDir": {}}])]

    def _with_old_disk(self) -> Sequence[Manifest]:
        return [claim("old"), pod(self._name(), {"/data": "old"})]

    def _with_new_disk(self) -> Sequence[Manifest]:
        name = self._name()
        return [claim(name), pod(name, {"/data": name})]

    def requests(self, minutes: float) -> None:
        """Count the API requests of an idle driver with more and more disks."""
        self._forget_disks()
        print(f"\nrequests to the API server in a minute, over {minutes:g} minutes, and memory:")
        kinds = "".join(f"{kind:>12}" for kind in ("election", "leases", "others", "reads"))
        print(f"  {'disks':18}{kinds}{'controller':>14}{'node':>10}")
        self._count("0", minutes)
        self._apps.apply(storage_class(PASSING))
        self._make_disks(10)
        names = [f"disk-{number}" for number in range(10)]
        self._apps.start("holder", {f"/{name}": name for name in names})
        self._count("10, held by a pod", minutes)
        self._apps.delete("pod", "holder")
        self._count("10", minutes)
        self._make_disks(100)
        self._count("100", minutes)

    def _forget_disks(self) -> None:
        """Delete all disks: their volumes with the policy Delete."""
        for volume in self._kubernetes.get("pv")["items"]:
            policy = '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}'
            self._apps.kubectl("patch", "pv", volume["metadata"]["name"], "-p", policy)
        self._apps.delete("pvc", "--all")
        gone = lambda: not self._kubernetes.get("pv")["items"]  # noqa: E731
        wait_until(gone, "all disks are deleted", within=120)

    def _make_disks(self, number: int) -> None:
        names = [f"disk-{n}" for n in range(number)]
        self._apps.apply(*(claim(name, storage_class=PASSING) for name in names))
        for name in names:
            self._apps.wait(f"pvc/{name}", "jsonpath={.status.phase}=Bound", within=300)

    def _count(self, disks: str, minutes: float) -> None:
        time.sleep(_SETTLE)
        log = self._kubernetes.control_plane.audit_log
        before = log.size
        time.sleep(minutes * 60)
        volumes = {volume["metadata"]["name"] for volume in self._kubernetes.get("pv")["items"]}
        found: Counter[str] = Counter()
        for request in log.requests(since=before, user=_ACCOUNT):
            if request.verb not in WRITES:
                found["reads"] += 1
            elif request.resource != "leases":
                found["others"] += 1
            else:
                found["leases" if request.name in volumes else "election"] += 1
        kinds = ("election", "leases", "others", "reads")
        row = "".join(f"{found[kind] / minutes:12.1f}" for kind in kinds)
        memory = (self._memory(plugin) for plugin in ("controller", "node"))
        print("  {:18}{}{:10.0f} MiB{:6.0f} MiB".format(disks, row, *memory), flush=True)

    def _memory(self, plugin: str) -> float:
        """The resident memory of a plugin's driver, in MiB."""
        page = f"pods/{self._driver.pod(plugin)}:9808/proxy/metrics"
        text = self._driver.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/{page}")
        (figure,) = re.findall(r"(?m)^process_resident_memory_bytes (\S+)$", text)
        return float(figure) / _MIB


if __name__ == "__main__":
    sys.exit(main())
