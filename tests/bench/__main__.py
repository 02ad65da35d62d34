"""`make bench`: the translator; backups; the driver beside raw LVM commands in a VM; its memory.

Absolute times depend on the machine; the ratios are of medians measured in turns in one run.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from tests.bench import backup, latency, memory, translate
from tests.lvm import vm

_HOUR = 3600.0


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each speed measurement")
    parser.add_argument("--lives", type=int, default=1000, help="of volumes, for memory")
    chosen = parser.parse_args()
    print("the translator, app.toml to manifests:", flush=True)
    translate.measure(chosen.rounds)
    print("\nbackups of 1024 MiB:", flush=True)
    backup.measure(min(chosen.rounds, 5), 1024)
    print("\nan app's commits while its 512 MiB are backed up:", flush=True)
    latency.measure(min(chosen.rounds, 3), 512)
    print("\nspeed, on real LVM in a VM pinned to one CPU:", flush=True)
    status = _speed(chosen.rounds)
    print(f"\nmemory of `miren-csi all` over {chosen.lives} volume lives, loop pool:", flush=True)
    memory.measure(chosen.lives)
    return status


def _speed(rounds: int) -> int:
    make_pool = Path(vm.__file__).with_name("make-pool")
    inside = f"{shlex.quote(sys.executable)} -m tests.bench.speed --rounds {rounds}"
    with tempfile.TemporaryDirectory(prefix="miren-bench-") as name:
        folder = Path(name)
        disk = vm.make_image(folder / "pool.img", 32 << 30)
        done = vm.run(folder, f"{make_pool} /dev/ubda && {inside}", disks=[disk], timeout=_HOUR)
    print(done.console)
    return done.status


if __name__ == "__main__":
    sys.exit(main())
