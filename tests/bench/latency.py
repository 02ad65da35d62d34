"""How long an app's commits take while its disk is backed up, beside none.

`python -m tests.bench.latency`. The app appends 8 KiB and waits for fdatasync, as a database does
at each commit; the driver has a loop pool with reflinks, cuts the copy with the filesystem frozen,
and the mover reads it, at its usual priority. In turns; measures, asserts nothing.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csi.disk import GIB, MIB
from csi.files import opened
from deploy.local_driver import LocalDriver
from tests.backup.mover import Mover
from tests.bench.backup import fill
from tests.bench.life import Life
from tests.cluster.programs import folder_with
from tests.contract.host import xfs
from tests.life.inline import Pod

_COMMIT = 8 << 10
_PAUSE = 0.005
_RING = 64 * MIB
_POOL = 8 * GIB
_DISK = "app"


def measure(rounds: int, mib: int) -> None:
    """Print a line for an app without a backup, and one for each place that a backup goes to."""
    with tempfile.TemporaryDirectory(prefix="miren-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        with xfs(folder / "xfs", _POOL) as pool, LocalDriver(folder, f"loop:{pool}") as driver:
            bench = _Bench(driver, folder, mib)
            bench.measure(rounds)


class _Bench:
    def __init__(self, driver: LocalDriver, folder: Path, mib: int) -> None:
        self._driver = driver
        self._folder = folder
        self._mib = mib
        self._mover = Mover(folder_with(folder / "bin", "restic"))
        self._kubelet = folder / "k"
        (self._kubelet / "pods").mkdir(parents=True)
        Path("/disk").mkdir(exist_ok=True)  # where the mover has its volume

    def measure(self, rounds: int) -> None:
        life = Life(self._driver, _DISK, self._folder / "mounts")
        life.begin()
        target = self._folder / "mounts" / f"{_DISK}-target"
        fill(target, self._mib)
        os.sync()
        kinds: dict[str, Callable[[], None]] = {
            "no backup": lambda: time.sleep(10),
            "into a file": self._to_file,
            "into a repository": self._to_repository,
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, work in kinds.items():
                with _commits(target / "journal") as seconds:
                    work()
                taken[kind] += seconds
        life.end()
        base = statistics.median(taken["no backup"])
        for kind, seconds in taken.items():
            print(f"  {kind:18} {_figures(seconds, base)}", flush=True)

    def _to_file(self) -> None:
        with self._copy() as copy:
            self._mover.write(copy, self._folder / "backup").result  # noqa: B018 - it has to work

    def _to_repository(self) -> None:
        place = self._folder / "repository"
        with self._copy() as copy:
            self._mover.at(place).backup(copy).result  # noqa: B018 - it has to work
        shutil.rmtree(place)

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        pod = Pod(self._driver, self._kubelet, {"copyOf": _DISK}, read_only=True).start()
        yield pod.target
        pod.end()


@contextmanager
def _commits(journal: Path) -> Iterator[list[float]]:
    """Commit again and again meanwhile; yields how long each has taken, all of them at the end."""
    taken: list[float] = []
    ended = threading.Event()

    def commit() -> None:
        record = os.urandom(_COMMIT)
        with opened(journal, os.O_WRONLY | os.O_CREAT) as file:
            while not ended.wait(_PAUSE):
                began = time.perf_counter()
                os.pwrite(file, record, len(taken) * _COMMIT % _RING)
                os.fdatasync(file)
                taken.append(time.perf_counter() - began)

    app = threading.Thread(target=commit)
    app.start()
    try:
        yield taken
    finally:
        ended.set()
        app.join()


def _figures(seconds: list[float], base: float) -> str:
    parts = statistics.quantiles(seconds, n=100)
    median, late = statistics.median(seconds), parts[98]
    return (
        f"{len(seconds):6} commits, median {median * 1e3:6.2f} ms ({median / base:.2f} x),"
        f" 99 % within {late * 1e3:7.2f} ms ({late / base:.2f} x), longest {max(seconds):.2f} s"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--mib", type=int, default=512, help="size of the data, less than 900")
    chosen = parser.parse_args()
    print(f"an app's commits while its {chosen.mib} MiB are backed up:", flush=True)
    measure(chosen.rounds, chosen.mib)


if __name__ == "__main__":
    main()
