"""Runs `miren-mover` as its pod does: with a volume at /disk."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MOVER = Path(sys.executable).with_name("miren-mover")
PASSWORD = "a password that nobody sees"
_AT_DISK = 'mount --rbind "$0" /disk && exec "$@"'

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """How a mover ended, and what it said before."""

    status: int
    lines: list[Line]
    output: bytes
    """Of write-file: the archive."""

    @property
    def result(self) -> Line:
        assert self.status == 0, self.lines
        result: Line = self.lines[-1]["result"]
        return result

    @property
    def failure(self) -> str:
        """Its one sentence, after nothing but notes and progress."""
        assert self.status == 1, self.lines
        *before, last = self.lines
        assert not any(line.keys() & {"result", "failure"} for line in before), self.lines
        sentence: str = last["failure"]
        assert "\n" not in sentence
        return sentence

    @property
    def notes(self) -> list[str]:
        return [line["note"] for line in self.lines if "note" in line]


class Running:
    """A mover that runs, with all that it started in a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", streams: bool) -> None:
        self._process = process
        self._streams = streams

    def finish(self) -> Said:
        """Wait for its end, and hold what it said against what always holds."""
        output, errors = self._process.communicate()
        told = (errors if self._streams else output).decode()
        other = b"" if self._streams else errors
        assert "Traceback" not in told
        assert PASSWORD not in told
        assert not other, other
        lines = [json.loads(line) for line in told.splitlines()]
        return Said(self._process.returncode, lines, output if self._streams else b"")

    def send(self, data: bytes) -> None:
        """Write to its standard input, which stays open."""
        assert self._process.stdin
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def line(self) -> Line:
        """Wait for its next line; `finish` will return only those that come then."""
        assert self._process.stdout
        line: Line = json.loads(self._process.stdout.readline())
        return line

    def ended(self) -> Said:
        """Like `finish`, but its standard input stays open till it has ended of itself."""
        self._process.wait()
        return self.finish()

    def status(self) -> int:
        """Wait for its end where nobody can hear it; returns its exit status."""
        return self._process.wait()

    def kill(self) -> None:
        """Do what happens to a container that is killed: all of its processes end at once."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def tell(self, number: int) -> None:
        """Send the mover a signal."""
        self._process.send_signal(number)

    def command_lines(self) -> list[str]:
        """What anybody on the machine sees of its processes."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) == self._process.pid:
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


class Mover:
    """Starts movers, with programs of the versions that the image has."""

    def __init__(self, programs: Path, environ: Mapping[str, str] | None = None) -> None:
        self._programs = programs
        self._environ = dict(environ or {})

    def at(self, repository: Path | str, **environ: str) -> "Mover":
        """The same, with a repository."""
        own = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD}
        return Mover(self._programs, {**self._environ, **own, **environ})

    def start(
        self,
        disk: Path,
        *words: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> Running:
        path = f"{self._programs}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation=private",
                "sh",
                "-c",
                _AT_DISK,
                disk,
                MOVER,
                *words,
            ],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "MIREN_MOVER_PATIENCE": "2", **self._environ, "PATH": path},
            start_new_session=True,
        )
        return Running(process, words[0] in {"write-file", "read-file"})

    def run(self, disk: Path, *words: str, stdin: Path | None = None) -> Said:
        """Run a command to its end, and return what it said."""
        if stdin is None:
            return self.start(disk, *words).finish()
        with stdin.open("rb") as stream:
            return self.start(disk, *words, stdin=stream).finish()

    def write(self, disk: Path, file: Path, /, *words: str, **about: object) -> Said:
        """Have the archive of a disk written to a file."""
        with file.open("wb") as stream:
            return self.start(disk, "write-file", *words, said(**about), stdout=stream).finish()

    def read(self, disk: Path, file: Path, *words: str) -> Said:
        return self.run(disk, "read-file", *words, stdin=file)

    def backup(self, disk: Path, /, *words: str, **about: object) -> Said:
        return self.run(disk, "backup", *words, said(**about))

    def listed(self, disk: Path) -> list[Line]:
        backups: list[Line] = self.run(disk, "list").result["backups"]
        return backups


def said(**about: object) -> str:
    """The option --about for a disk pgdata, but for what is given."""
    usual = {
        "disk": "pgdata",
        "size": 1 << 30,
        "filesystem": "ext4",
        "mode": "filesystem",
        "cluster": "c1",
        "time": "2026-11-26T12:00:00Z",
    }
    return "--about=" + json.dumps({**usual, **about})
