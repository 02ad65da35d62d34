"""Virtual machines with a real device mapper, for machines that have none: User-Mode Linux.

A VM's root is this machine's own file tree, read-only, so every program and this checkout are
simply there. Its disks are image files: /dev/ubda, /dev/ubdb, ... in the order given. They outlive
the VM, so a second one with the same images is the same machine after a reboot.
"""

import functools
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_INIT = Path(__file__).resolve().with_name("init")
_NOISE = ("SELinux:", "mmapper_init", "sysrq: Power Off", "reboot: Power down", "unshare: sigproc")


class VmError(Exception):
    """The VM did not do what it was started for; the message ends with the end of its console."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a VM's command ended: its exit status and all that was written to the console."""

    status: int
    console: str


@dataclass(frozen=True, slots=True)
class Layer:
    """An image of what a VM has written to a disk that is `below` otherwise, which stays as it is.

    Not even the time of that file's last change may be another at the next boot
    (linux/arch/um/drivers/cow_user.c).
    """

    path: Path
    below: Path

    def __str__(self) -> str:
        return f"{self.path},{self.below}"


@functools.cache
def user_mode_linux() -> Path:
    """The folder that has User-Mode Linux as bin/linux.uml, and its modules in lib/uml/modules."""
    script = ROOT / "scripts" / "uml"
    done = subprocess.run([script], stdout=subprocess.PIPE, check=True, text=True)
    return Path(done.stdout.strip())


def make_image(path: Path, size: int) -> Path:
    """Make a sparse image of `size` bytes for use as a disk."""
    with path.open("xb") as image:
        image.truncate(size)
    return path


def usable_cpus() -> list[int]:
    """The CPUs that this process may use, in order: the tests' own VMs take the first of them."""
    return sorted(os.sched_getaffinity(0))


class Vm:
    """A VM that runs one shell command and switches itself off; leaving the `with` kills it.

    `folder` keeps the console's log and `share`, which the VM sees as /run/share. With `tap`, the
    name of a tap device, it has a network card vec0. `starter` is a command that starts another
    one, for a VM that is to run in a network namespace.
    """

    def __init__(
        self,
        folder: Path,
        command: str,
        *,
        disks: Sequence[Path | Layer] = (),
        memory: str = "1G",
        cpu: int | None = None,
        tap: str | None = None,
        starter: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self.share = folder / "share"
        self.share.mkdir(parents=True, exist_ok=True)
        self._status = self.share / "status"
        self._status.unlink(missing_ok=True)
        (self.share / "command").write_text(f"cd {shlex.quote(str(ROOT))}\n{command}\n")
        with self.console_log.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *starter,
                    *_cage(usable_cpus()[0] if cpu is None else cpu),
                    *self._kernel(disks, memory, tap),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )

    def _kernel(self, disks: Sequence[Path | Layer], memory: str, tap: str | None) -> list[str]:
        return [
            str(user_mode_linux() / "bin/linux.uml"),
            # Else ptrace stops all in it at each system call and page fault; older kernels do so.
            "seccomp=auto",
            f"mem={memory}",
            "quiet",
            "noreboot",
            "pty.legacy_count=0",  # 512 nodes in /dev, at which each LVM command would look
            "con=null",
            "con0=null,fd:1",
            f"uml_dir={self._folder}",
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
            *(f"ubd{number}={image}" for number, image in enumerate(disks)),
            *([f"vec0:transport=tap,ifname={tap},depth=64"] if tap else []),
            f"init={_INIT}",
            f"share={self.share}",
            f"modules={user_mode_linux() / 'lib/uml/modules'}",
        ]

    @property
    def console_log(self) -> Path:
        return self._folder / "console.log"

    @property
    def console(self) -> str:
        """What the command and the VM's kernel wrote so far."""
        text = self.console_log.read_text(errors="replace")
        return "".join(line for line in text.splitlines(True) if not line.startswith(_NOISE))

    def ended(self, within: float) -> bool:
        """Whether the VM is off; waits up to `within` seconds for that."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def outcome(self) -> Outcome:
        """How it ended. Raises VmError when it ended without letting the command finish."""
        if not self._status.exists():
            raise self.failure("the VM died before its command was done")
        return Outcome(int(self._status.read_text()), self.console)

    def failure(self, reason: str) -> VmError:
        tail = "\n".join(self.console.splitlines()[-40:])
        return VmError(f"{reason}; its console ended so:\n{tail}")

    def cut_power(self) -> None:
        """Stop it at once: what its kernel has not written to a disk's image is lost."""
        # Its first process is the init of a PID namespace: when that dies, all of it has died,
        # and only then does `unshare`, which is what was started here, end.
        pid = self._process.pid
        try:
            first = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            os.kill(int(first[0]) if first else pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut_power()


def _cage(cpu: int) -> list[str]:
    """The command that starts another so that it never outlives this process and keeps to `cpu`.

    Keeping to one CPU is what makes it fast: User-Mode Linux switches between its processes all the
    time, and across CPUs that makes everything about 6 times slower.
    """
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--fork", "--kill-child=KILL"),
        *("taskset", "--cpu-list", str(cpu)),
    ]


def run(
    folder: Path,
    command: str,
    *,
    disks: Sequence[Path] = (),
    memory: str = "1G",
    cpu: int | None = None,
    timeout: float = 120,
) -> Outcome:
    """Boot a VM, run `command` and wait for its end; raises VmError after `timeout` seconds."""
    with Vm(folder, command, disks=disks, memory=memory, cpu=cpu) as vm:
        if not vm.ended(within=timeout):
            raise vm.failure(f"the VM was not done after {timeout:g} s")
        return vm.outcome()
