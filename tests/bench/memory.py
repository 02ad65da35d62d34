"""The resident memory of the driver process while volumes live and die."""

import tempfile
from pathlib import Path

from csi.disk import MIB
from deploy.local_driver import LocalDriver
from tests.bench.life import Life


def measure(lives: int) -> None:
    """Run that many whole volume lives on a loop pool and print the driver's RSS on the way."""
    with tempfile.TemporaryDirectory(prefix="miren-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        with LocalDriver(folder, f"loop:{folder / 'pool'}", options=["--log-level", "error"]) as it:
            print(f"  at the start        {rss(it.pid) / MIB:6.1f} MiB", flush=True)
            marks = {max(1, lives // 10), lives // 2, lives}
            for number in range(1, lives + 1):
                life = Life(it, f"v{number}", folder / "mounts")
                life.begin()
                life.end()
                if number in marks:
                    print(f"  after {number:>6} lives  {rss(it.pid) / MIB:6.1f} MiB", flush=True)


def rss(pid: int) -> int:
    """Return a process's resident memory in bytes (proc(5), /proc/pid/status, VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
