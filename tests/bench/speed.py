"""Runs in the VM: the driver's calls and the raw commands in turns, and the ratio of medians."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from deploy.local_driver import LocalDriver
from tests.bench.life import Life

T = TypeVar("T")

CONCURRENT = 20
MKFS = "mkfs.ext4 -q -E nodiscard,lazy_itable_init=1,lazy_journal_init=1"


@dataclass(slots=True)
class Row:
    """One line of the table: seconds of ours and of the raw commands."""

    title: str
    raw_command: str
    aim: str
    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        ours, raw = statistics.median(self.ours), statistics.median(self.raw)
        figures = f"{ours * 1e3:7.0f} ms {raw * 1e3:7.0f} ms {ours / raw:6.2f} x"
        return f"{self.title:<34} {figures}  {self.aim:<8} {self.raw_command}"


def main() -> int:
    """Measure in turns and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    # The raw commands have no udev to wait for either.
    os.environ["DM_DISABLE_UDEV"] = "1"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        options = ["--overcommit", "1000", "--log-level", "error"]
        with LocalDriver(folder, "lvm:miren/pool", options=options) as driver:
            table = [*_single(driver, folder, rounds), _concurrent(driver, folder, rounds)]
            table.append(_to_mounted(driver, folder, rounds))
    print(f"{'':<34} {'driver':>10} {'raw':>10} {'ratio':>8}  {'aim':<8} raw commands")
    for row in table:
        print(row)
    return 0


def _single(driver: LocalDriver, folder: Path, rounds: int) -> Sequence[Row]:
    create = Row("CreateVolume", "lvcreate -V", "<= 1.0")
    delete = Row("DeleteVolume", "lvremove", "<= 1.0")
    for number in range(rounds):
        life = Life(driver, f"single-{number}", folder / "mounts")
        create.ours.append(_timed(life.create))
        create.raw.append(_timed(lambda: _lvcreate("raw")))
        delete.ours.append(_timed(life.delete))
        delete.raw.append(_timed(lambda: _lvremove("raw")))
    return create, delete


def _concurrent(driver: LocalDriver, folder: Path, rounds: int) -> Row:
    row = Row(f"{CONCURRENT} concurrent CreateVolume", f"{CONCURRENT} x lvcreate -V &", "<= 0.83")
    with ThreadPoolExecutor(CONCURRENT) as pool:
        for number in range(max(1, rounds // 5)):
            lives = [Life(driver, f"c{number}-{i}", folder / "mounts") for i in range(CONCURRENT)]
            row.ours.append(_timed(partial(_all, pool, Life.create, lives)))
            names = [f"raw-{i}" for i in range(CONCURRENT)]
            row.raw.append(_timed(partial(_all, pool, _lvcreate, names)))
            _all(pool, Life.delete, lives)
            _lvremove(*names)
    return row


def _all(pool: ThreadPoolExecutor, work: Callable[[T], None], items: Sequence[T]) -> None:
    for _ in pool.map(work, items):
        pass


def _to_mounted(driver: LocalDriver, folder: Path, rounds: int) -> Row:
    row = Row("fresh disk, created to mounted", f"lvcreate -V; {MKFS}; mount", "<= 1.3")
    target = folder / "raw"
    target.mkdir()
    for number in range(rounds):
        life = Life(driver, f"fresh-{number}", folder / "mounts")
        row.ours.append(_timed(life.begin))
        life.end()
        row.raw.append(_timed(lambda: _raw_mounted(target)))
        _run("umount", str(target))
        _lvremove("raw")
    return row


def _raw_mounted(target: Path) -> None:
    _lvcreate("raw")
    _run(*MKFS.split(), "/dev/miren/raw")
    _run("mount", "/dev/miren/raw", str(target))


def _lvcreate(name: str) -> None:
    _run("lvcreate", "-qq", "-y", "-V", "1g", "--thinpool", "pool", "-n", name, "miren")


def _lvremove(*names: str) -> None:
    _run("lvremove", "-qq", "-y", "-f", *(f"miren/{name}" for name in names))


def _run(*argv: str) -> None:
    environ = {**os.environ, "LVM_SUPPRESS_FD_WARNINGS": "1"}
    quiet = subprocess.DEVNULL
    subprocess.run(argv, check=True, env=environ, stdout=quiet, stderr=quiet)


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
