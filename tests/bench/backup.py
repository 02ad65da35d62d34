"""Backups by the mover, beside `tar | zstd`, with one thread and with many, and plain restic.

`python -m tests.bench.backup`; measures, asserts nothing. Medians of runs in turns.
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.backup.mover import PASSWORD, Mover
from tests.cluster.programs import folder_with

_MIB = 1 << 20
_FILES = 64


def measure(rounds: int, mib: int) -> None:
    """Print a line for each place that a backup goes to."""
    with tempfile.TemporaryDirectory(prefix="miren-bench-", dir="/var/tmp") as name:
        bench = _Bench(Path(name), mib)
        Path("/disk").mkdir(exist_ok=True)  # where the mover has its volume
        for where, ours, theirs in (
            ("a file, beside tar | zstd", bench.file, bench.tar),
            ("a file, beside tar | zstd -T0", bench.file, bench.tar_in_threads),
            ("a repository, beside restic", bench.repository, bench.restic),
        ):
            compared = _compared(rounds, mib, bench.clear, ours, theirs)
            print(f"  into {where}: {compared}", flush=True)


def fill(folder: Path, mib: int) -> None:
    """Put files into a folder; half of their bytes can be compressed, half cannot."""
    size = mib * _MIB // _FILES
    for number in range(_FILES):
        text = bytes(f"row {number:06}\n", "ascii") * (size // 22)
        (folder / f"{number}").write_bytes(os.urandom(size // 2) + text)


class _Bench:
    def __init__(self, folder: Path, mib: int) -> None:
        self._data, self._file, self._repository = (
            folder / name for name in ("data", "backup", "repository")
        )
        self._data.mkdir()
        fill(self._data, mib)
        self._programs = folder_with(folder / "bin", "restic")
        self._mover = Mover(self._programs)

    def file(self) -> None:
        self._mover.write(self._data, self._file).result  # noqa: B018 - it has to work

    def tar(self) -> None:
        self._tar("zstd")

    def tar_in_threads(self) -> None:
        self._tar("zstd -T0")

    def _tar(self, zstd: str) -> None:
        data, target = (shlex.quote(str(path)) for path in (self._data, self._file))
        words = "--create --xattrs --acls --sparse --numeric-owner"
        self._sh(f"tar {words} --directory {data} . | {zstd} -q > {target}")

    def repository(self) -> None:
        self._mover.at(self._repository).backup(self._data).result  # noqa: B018 - it has to work

    def restic(self) -> None:
        restic = f"{self._programs}/restic --quiet --repo {self._repository}"
        self._sh(f"{restic} init && {restic} backup {self._data}", RESTIC_PASSWORD=PASSWORD)

    def clear(self) -> None:
        """Remove what was written, and write out the rest: none shall pay for the one before."""
        self._file.unlink(missing_ok=True)
        shutil.rmtree(self._repository, ignore_errors=True)
        os.sync()

    def _sh(self, script: str, **environ: str) -> None:
        env = {**os.environ, **environ}
        subprocess.run(["bash", "-o", "pipefail", "-ec", script], env=env, check=True)


def _compared(
    rounds: int,
    mib: int,
    clear: Callable[[], None],
    ours: Callable[[], None],
    theirs: Callable[[], None],
) -> str:
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, seconds in zip((ours, theirs), taken, strict=True):
            clear()
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    mover, plain = map(statistics.median, taken)
    rates = f"{mib / mover:.0f} and {mib / plain:.0f} MiB/s"
    return f"{rates}, throughput ratio {plain / mover:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement")
    parser.add_argument("--mib", type=int, default=1024, help="size of the data")
    chosen = parser.parse_args()
    print(f"backups of {chosen.mib} MiB:", flush=True)
    measure(chosen.rounds, chosen.mib)


if __name__ == "__main__":
    main()
