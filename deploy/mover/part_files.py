"""The parts of a raw device as files, for programs that know only files."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from csi.errors import Unavailable
from deploy.mover.children import Child, write_all

_FUSE = Path("/dev/fuse")
_IN_FOLDER = 1024
"""Files in a folder: 4 GiB, so that what has not changed there needs no new list of them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The files."""

    size: int
    """Of the device, in bytes."""
    part: int
    """Bytes of a file; the last one may have less."""
    times: Mapping[int, int]
    """When a part was changed, in seconds since the epoch, by its number: those that are shown."""


def name(part: int) -> str:
    """Return where a part is; names are in the order of parts, up to a device of 4 PiB."""
    return f"{part // _IN_FOLDER:06}/{part:010}"


def part_of(path: str) -> int:
    """Return which part a file is, by its name; raises ValueError."""
    return int(path.rpartition("/")[2])


@contextmanager
def mounted(device: Path, folder: Path, shown: Shown) -> Iterator[None]:
    """Have a device's parts as files in an empty folder, until the `with` ends; raises Unavailable.

    A part that cannot be read is a file that cannot be read.
    """
    if not _FUSE.exists():
        raise Unavailable(
            f"the node has no {_FUSE}, which --changed-blocks needs: load the kernel's module fuse"
            " there (modprobe fuse), or back up without --changed-blocks"
        )
    argv = (sys.executable, "-m", "deploy.mover.part_server", str(device), str(folder))
    with Child(argv, stdin=-1) as server:
        with suppress(BrokenPipeError), server.input as pipe:
            write_all(pipe, msgspec.json.encode(shown))
        if not server.output.readline():
            server.wait()
            raise Unavailable(f"{device} cannot be shown in parts: {server.said}")
        yield
