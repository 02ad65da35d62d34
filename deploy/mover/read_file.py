"""`miren-mover read-file`: an archive from standard input into an empty disk."""

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from csi import programs
from csi.errors import Incompatible
from deploy.mover import image, tree
from deploy.mover.archive import DamagedArchive, Reader
from deploy.mover.children import Child, chunks, write_all
from deploy.mover.lines import Lines

_ZSTD = ("zstd", "--decompress", "--quiet", "--stdout")


class _Target(Protocol):
    """What takes the bytes that come out of the archive."""

    @property
    def files(self) -> int: ...

    def finish(self) -> None:
        """Wait until it has taken all of them; raises DiskError if it could not."""


def read_file(folder: Path, source: BinaryIO, lines: Lines, *, block: bool) -> dict[str, object]:
    """Fill an empty folder, or the empty device in it; return the facts once all has been verified.

    Raises DiskError: the folder, or device, then holds something that nobody should use.
    """
    _require_empty(folder, block=block)
    reader = Reader(source)
    _require_mode(reader, block=block)
    with ExitStack() as stack:
        writer = stack.enter_context(ThreadPoolExecutor(1))
        zstd = stack.enter_context(Child(_ZSTD, stdin=-1))
        target: _Target
        if block:
            target = _device(folder, zstd, writer)
        else:
            target = stack.enter_context(_folder(folder, zstd, lines))
        _unpack(reader, zstd, lines, target)
        target.finish()
    # Errors of writing may show no earlier.
    programs.run(["sync", "--file-system", str(image.path(folder) if block else folder)])
    stored = reader.stored()
    return {
        "stored": stored.bytes,
        "checksum": stored.checksum,
        "files": target.files,
        "about": reader.about.facts(),
    }


def _require_empty(folder: Path, *, block: bool) -> None:
    if block:
        image.require_empty(image.path(folder))
    else:
        tree.require_empty(folder)


def _require_mode(reader: Reader, *, block: bool) -> None:
    if block != (reader.about.mode == "block"):
        was = "a raw device" if reader.about.mode == "block" else "a filesystem"
        raise Incompatible(
            f'this is a backup of {was}, disk "{reader.about.disk}": restore it to a disk like that'
        )


def _unpack(reader: Reader, zstd: Child, lines: Lines, target: _Target) -> None:
    """Give the archive's pieces to zstd, and raise what is to blame if anything fails."""
    pieces = reader.pieces()
    with zstd.input as pipe:
        for piece in pieces:
            try:
                write_all(pipe, piece)
            except BrokenPipeError:
                break
            lines.progress(reader.length, None, target.files)
    status = zstd.wait()
    if status == 0:
        return
    if status == -signal.SIGPIPE:
        target.finish()
    # Which piece is damaged, only the checksums at the end tell.
    for _ in pieces:
        pass
    raise DamagedArchive(f"what the backup holds cannot be unpacked: {zstd.said}")


@contextmanager
def _folder(folder: Path, zstd: Child, lines: Lines) -> Iterator[_Target]:
    with tree.writing(folder, zstd.output, lines.note) as tar:
        # tar alone has it now, so that zstd ends if tar does.
        zstd.output.close()
        yield tar


@dataclass(frozen=True, slots=True)
class _Device:
    """A device that a thread writes."""

    written: "Future[int]"
    files: int = 1

    def finish(self) -> None:
        self.written.result()


def _device(folder: Path, zstd: Child, writer: ThreadPoolExecutor) -> _Device:
    def write() -> int:
        # Closed also when the device takes no more, so that zstd ends.
        with zstd.output as pipe:
            return image.write(image.path(folder), chunks(pipe))

    return _Device(writer.submit(write))
