"""Programs that wait in the middle of their work, so that a test can act at that very moment."""

import contextlib
import os
import select
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local_driver import LocalDriver

_BEFORE = """\
#!/bin/bash
echo $$ >{began}
read -r <{go}
exec {program} "$@"
"""

_HALFWAY = """\
#!/bin/bash
# The last argument is the device: it gets the first part of what the program writes, then the wait.
device=${{!#}}
truncate --size="$(blockdev --getsize64 "$device")" {image}
{program} "${{@:1:$#-1}}" {image}
dd if={image} of="$device" bs=64K count=2 conv=notrunc,fsync status=none
rm {image}
echo $$ >{began}
read -r <{go}
exit 1
"""

_PATIENCE = 60.0  # seconds until a test that waits for a program has failed


class Gate:
    """A program that a driver finds before the real one, and that waits until it is let go."""

    def __init__(self, folder: Path, program: str, *, halfway: bool = False) -> None:
        """Args: halfway: it has written the beginning of its work by then, and fails afterwards."""
        self.folder = folder
        self._pids: list[int] = []
        folder.mkdir()
        real = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert real, f"{program} is not installed"
        began, go = folder / "began", folder / "go"
        os.mkfifo(began)
        os.mkfifo(go)
        # Open for both, so that neither side ever waits for the other to open it.
        self._began = os.open(began, os.O_RDWR)
        self._go = os.open(go, os.O_RDWR)
        text = (_HALFWAY if halfway else _BEFORE).format(
            began=shlex.quote(str(began)),
            go=shlex.quote(str(go)),
            program=shlex.quote(real),
            image=shlex.quote(str(folder / "image")),
        )
        (folder / program).write_text(text)
        (folder / program).chmod(0o755)

    def guard(self, driver: LocalDriver) -> None:
        """Have the driver find this program first, from its next start on."""
        path = f"PATH={self.folder}:{os.environ['PATH']}"
        driver.argv[:] = ["env", path, *driver.argv]

    def wait_until_reached(self) -> None:
        """Wait until the program has started, once more for each call."""
        ready, _, _ = select.select([self._began], [], [], _PATIENCE)
        assert ready, f"no program of {self.folder} was started within {_PATIENCE:.0f} s"
        read = b""
        while not read.endswith(b"\n"):
            read += os.read(self._began, 1)
        self._pids.append(int(read))

    def remove(self) -> None:
        """Have the driver find the real program again; what waits goes on waiting."""
        for program in self.folder.glob("mkfs.*"):
            program.unlink(missing_ok=True)

    def open(self, times: int = 1) -> None:
        """Let the program go on, this time or that many times."""
        os.write(self._go, b"go\n" * times)

    def wait_until_gone(self) -> None:
        """Wait until no program that has been here runs any more."""
        deadline = time.monotonic() + _PATIENCE
        while any(map(_runs, self._pids)):
            assert time.monotonic() < deadline, f"{self.folder} does not end"

    def close(self) -> None:
        """Let everything that still waits go on, and leave the gate open for late-comers."""
        self.remove()
        self.open(100)
        os.close(self._began)
        os.close(self._go)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def gate(folder: Path, program: str, *, halfway: bool = False) -> Iterator[Gate]:
    """A gate that is open at the end, whatever happens."""
    made = Gate(folder, program, halfway=halfway)
    try:
        yield made
    finally:
        made.close()
