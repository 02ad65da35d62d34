"""Speaks to LVM: one long-lived `lvm` shell, forked commands where that is not to be had.

Starting an `lvm` process costs several times what most commands do (it reads its configuration and
scans devices), so commands go to a shell that stays. The shell reports each command's rows and its
result as one JSON object on a file descriptor of its own (LVM_REPORT_FD; lvm(8) and
lvmreport(7)), provided the command profile `lvmdbusd`, which every lvm2 package ships.
"""

import contextlib
import json
import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any, Protocol

from csi import programs
from csi.errors import MissingProgram, Unavailable

log = logging.getLogger(__name__)

TIMEOUT = 120.0
"""Seconds after which a command is given up: LVM waits that long for locks on a busy host."""

_PROFILE = "lvmdbusd"
_KEEP_MEMORY = {
    # Before LVM suspends devices it takes and gives back some MiB, so that it need not swap
    # (lvm.conf(5), reserved_memory). The shell keeps them: getting them anew from the kernel, page
    # by page, costs more than the command itself. In bytes, mallopt(3).
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
_SAFE = re.compile(r"[A-Za-z0-9_+.\-/=!:#&,~^]+")
_UDEV = Path("/run/udev/control")

Row = dict[str, str]

Observe = Callable[[str, float], None]
"""Is told of a command that has ended: its name, and how many seconds LVM worked on it."""


def ignore(command: str, seconds: float) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command ended: whether it succeeded, the rows it reported, its error messages."""

    ok: bool
    rows: list[Row]
    message: str = ""


class SessionDied(Exception):
    """The shell ended or answered nonsense; what its last command did is unknown."""


class Lvm(Protocol):
    """Something that runs LVM commands one after the other."""

    def call(self, *argv: str) -> Reply:
        """Run one command; failure is in the Reply. Raises Unavailable when LVM cannot run."""

    def close(self) -> None:
        """End whatever stays open."""


class ForkedLvm:
    """Runs every command as a process of its own."""

    def call(self, *argv: str) -> Reply:
        """Run one command in a new process; raises Unavailable when somebody kills it."""
        report = ("--reportformat", "json", "--units", "b", "--nosuffix")
        command = ["lvm", *argv, *(report if argv[0] in {"lvs", "vgs"} else ())]
        try:
            done = programs.run(command, timeout=TIMEOUT, accept=range(-64, 256))
        except MissingProgram as error:
            raise Unavailable(str(error)) from error
        if done.status < 0:
            raise Unavailable(f"lvm {argv[0]} was killed by signal {-done.status}; try again")
        rows = _rows(json.loads(done.stdout)) if done.stdout.lstrip().startswith("{") else []
        return Reply(done.status == 0, rows, done.stderr.strip())

    def close(self) -> None:
        """Nothing stays open."""


class LvmShell:
    """One `lvm` process that stays; dies and stays dead on the first sign of trouble."""

    def __init__(self) -> None:
        """Start the shell; raises SessionDied or MissingProgram when that fails."""
        self._report, theirs = os.pipe()
        reporting = {"LVM_REPORT_FD": str(theirs), "LVM_COMMAND_PROFILE": _PROFILE}
        environ = {**reporting, **_KEEP_MEMORY, **udev_environ()}
        try:
            self._process: Popen[bytes] = programs.start(
                ["lvm"], environ=environ, pass_fds=[theirs], output=DEVNULL
            )
        except BaseException:
            os.close(self._report)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """The process id of the shell."""
        return self._process.pid

    def call(self, *argv: str) -> Reply:
        """Run one command in the shell; raises SessionDied when its outcome is unknown."""
        answer = self._exchange(argv)
        if _succeeded(answer):
            return Reply(True, _rows(answer))
        messages = [str(entry["log_message"]) for entry in _errors(self._exchange(["lastlog"]))]
        return Reply(False, _rows(answer), "; ".join(messages))

    def _exchange(self, argv: Sequence[str]) -> dict[str, Any]:
        stdin = self._process.stdin
        if stdin is None or self._process.poll() is not None:
            raise SessionDied("the lvm shell has ended")
        try:
            stdin.write(" ".join(argv).encode() + b"\n")
            return self._read(time.monotonic() + TIMEOUT)
        except (OSError, ValueError) as error:
            raise SessionDied(str(error)) from error

    def _read(self, deadline: float) -> dict[str, Any]:
        text = b""
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._report], [], [], left)[0]:
                raise SessionDied(f"no answer within {TIMEOUT:.0f} s")
            chunk = os.read(self._report, 1 << 16)
            if not chunk:
                raise SessionDied("the lvm shell ended in the middle of a command")
            text += chunk
            if chunk.rstrip().endswith(b"}"):
                with contextlib.suppress(json.JSONDecodeError):
                    answer = json.loads(text)
                    if isinstance(answer, dict):
                        return answer

    def close(self) -> None:
        """End the shell; it finishes the command it is in, so that nothing stays half-done."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=TIMEOUT)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self._report)


class LvmSession:
    """The `lvm` shell with a fall-back: restarts it when it dies, forks where it cannot start.

    Safe to use from many threads: LVM works on one volume group one command at a time anyway.
    A command whose outcome is unknown is run again in a process of its own; every caller must
    therefore be content with "already done" as an answer.
    """

    def __init__(
        self,
        heal: Callable[[Lvm], None] = lambda _: None,
        observe: Observe = ignore,
    ) -> None:
        """Prepare a session; nothing is started before the first command.

        Args:
            heal: called after a command died in its middle, to mend what it left.
            observe: is told of every command that has ended.
        """
        self._heal = heal
        self._observe = observe
        self._lock = threading.Lock()
        self._forked = ForkedLvm()
        self._has_died = False
        self._shell: LvmShell | None = None
        self._may_start = _profile_exists()
        if not self._may_start:
            log.warning("LVM's profile %s is not installed; using slow forked commands", _PROFILE)

    @property
    def shell_pid(self) -> int | None:
        """The process id of the shell if one runs now."""
        return self._shell.pid if self._shell else None

    def call(self, *argv: str) -> Reply:
        """Run one command; raises Unavailable when LVM cannot be run at all."""
        for word in argv:
            if not _SAFE.fullmatch(word):
                raise ValueError(f"not a safe word for an LVM command: {word!r}")
        began = time.monotonic()
        with self._lock, self._observing(argv[0]):
            reply = self._call_locked(argv)
        took = (time.monotonic() - began) * 1e3
        log.debug("lvm %s: %s, %.0f ms", argv[0], "ok" if reply.ok else reply.message, took)
        return reply

    @contextlib.contextmanager
    def _observing(self, command: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._observe(command, time.monotonic() - began)

    def _call_locked(self, argv: Sequence[str]) -> Reply:
        self._mend()
        try:
            if self._shell is None and self._may_start:
                self._shell = LvmShell()
            if self._shell is not None:
                return self._shell.call(*argv)
        except MissingProgram as error:
            raise Unavailable(str(error)) from error
        except SessionDied as error:
            log.warning("the lvm shell failed at %s (%s); running it on its own", argv[0], error)
            self._has_died = True
            self._drop()
            self._mend()
        try:
            return self._forked.call(*argv)
        except Unavailable:
            self._has_died = True
            self._mend()
            raise

    def _mend(self) -> None:
        """Mend what a command left that died, now or before: no other may run on top of it."""
        if self._has_died:
            self._heal(self._forked)
            self._has_died = False

    def _drop(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def close(self) -> None:
        """End the shell after the command that it is in."""
        with self._lock:
            self._drop()
            self._may_start = False


def udev_environ() -> dict[str, str]:
    """Return what makes LVM create device nodes itself where no udev daemon would.

    Without it LVM waits for a udevd that never answers (dmsetup(8), DM_DISABLE_UDEV).
    """
    return {} if _UDEV.exists() else {"DM_DISABLE_UDEV": "1"}


def _profile_exists() -> bool:
    folder = Path(os.environ.get("LVM_SYSTEM_DIR") or "/etc/lvm")
    return (folder / "profile" / f"{_PROFILE}.profile").exists()


def _rows(answer: dict[str, Any]) -> list[Row]:
    return [row for report in answer.get("report", []) for rows in report.values() for row in rows]


def _errors(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in answer.get("log", []) if entry.get("log_type") == "error"]


def _succeeded(answer: dict[str, Any]) -> bool:
    ends = [
        entry
        for entry in answer.get("log", [])
        if entry.get("log_type") == "status" and entry.get("log_object_type") == "cmd"
    ]
    return bool(ends) and ends[-1].get("log_message") == "success"
