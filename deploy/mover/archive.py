"""The one file that a backup can be: a POSIX tar, so that tar, zstd and sha256sum can read it.

Its members, in this order, are

    miren-disk.json     what the disk was, and the format's version
    data.00000000, …    one zstd stream, cut in pieces of at most PIECE bytes
    SHA256SUMS          a line for each member before it

and nothing else. As each byte of it follows from these, any other byte anywhere is noticed, and two
archives with the same SHA256SUMS are the same. Writing and reading need memory for one piece and
for 32 bytes of each. Nothing here knows zstd.
"""

import hashlib
import io
import itertools
import mmap
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from csi.errors import InvalidRequest, NotFound, Refused, Unavailable
from deploy.mover import about as about_disk
from deploy.mover.about import About

PIECE = 4 << 20
"""Most bytes of one member with data."""
VERSION = 1
"""Of the format. A reader refuses those that it does not know."""

_STEP = 256 << 10
"""Bytes to read, sum up or write at once: they stay in a processor's cache meanwhile."""
_FACTS = "miren-disk.json"
_SUMS = "SHA256SUMS"
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_LONGEST_FACTS = 64 << 10
_DIGEST = hashlib.sha256().digest_size

_FOREIGN = "this is no backup of a disk: it does not begin as those of kubectl miren disk backup do"
_INSTEAD = "use another copy of the backup"


class DamagedArchive(Refused):
    """The file is not, or not any more, what was written as a backup."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A whole archive."""

    bytes: int
    """Its length."""
    checksum: str
    """The SHA-256 of SHA256SUMS, from which all of it follows."""


@dataclass(frozen=True, slots=True)
class Verified:
    """An archive of which every byte was looked at."""

    about: About
    stored: Stored


def _ignore(_done: int, _total: int) -> None:
    """For those who do not want to know how far it is."""


class Source(Protocol):
    """What a stream of bytes comes out of: an unbuffered file."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Put what there is into a buffer; returns how many bytes, 0 at the end."""


class Writer:
    """Writes an archive to a stream that need not be seekable."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        """Begin the archive; raises OSError, as all of this does, if `out` takes no more."""
        self._out = out
        self._length = 0
        self._sums = _Sums()
        # The piece that is not whole is always at the same place: new memory for each is slow.
        self._piece = memoryview(_memory(PIECE))
        self._held = 0
        self._digest = hashlib.sha256()
        facts = msgspec.json.encode({"format": VERSION, **about.facts()}) + b"\n"
        self._member(_FACTS, facts)
        self._sums.add(hashlib.sha256(facts).digest())

    def copy(self, source: Source) -> None:
        """Add all that comes out of a source to the zstd stream."""
        while got := source.readinto(self._piece[self._held : self._held + _STEP]):
            self._digest.update(self._piece[self._held : self._held + got])
            self._held += got
            if self._held == PIECE:
                self._cut()

    def finish(self) -> Stored:
        """End the archive. Until then, whatever has been written is taken for no backup."""
        if self._held:
            self._cut()
        self._member(_SUMS, self._sums.text())
        self._put(_END)
        self._out.flush()
        return Stored(self._length, self._sums.checksum())

    def _cut(self) -> None:
        self._member(_data_name(self._sums.pieces), self._piece[: self._held])
        self._sums.add(self._digest.digest())
        self._held, self._digest = 0, hashlib.sha256()

    def _member(self, name: str, content: bytes | memoryview) -> None:
        self._put(_header(name, len(content)))
        self._put(content)
        self._put(_padding(len(content)))

    def _put(self, data: bytes | memoryview) -> None:
        for start in range(0, len(data), _STEP):
            self._out.write(data[start : start + _STEP])
        self._length += len(data)


class Reader:
    """Reads an archive from a stream, which it leaves at the archive's end."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read what the archive is about; raises DamagedArchive."""
        self._stream = stream
        self._sums = _Sums()
        self.length = 0
        """Bytes read so far."""
        first = self._take(_BLOCK, at_start=True)
        name, size = _parsed(first)
        if name != _FACTS or size > _LONGEST_FACTS or first != _header(_FACTS, size):
            raise DamagedArchive(_FOREIGN)
        self.about = _about(self._content(_FACTS, size))

    def pieces(self) -> Iterator[bytes]:
        """Yield the zstd stream, and end without an error only if all of the archive is sound.

        Raises DamagedArchive.
        """
        name = _FACTS
        for name in map(_data_name, itertools.count()):
            header = self._take(_BLOCK)
            found, size = _parsed(header)
            if found == _SUMS:
                break
            if found != name or not 0 < size <= PIECE or header != _header(name, size):
                raise DamagedArchive(self._misplaced(name, found))
            yield self._content(name, size)
        self._finish(header, size)

    def stored(self) -> Stored:
        """What has been read; of the whole archive when `pieces` has ended."""
        return Stored(self.length, self._sums.checksum())

    def _finish(self, header: bytes, size: int) -> None:
        expected = self._sums.text()
        if size != len(expected) or header != _header(_SUMS, size):
            raise DamagedArchive(
                f"pieces are missing, or the list of checksums has changed: {_INSTEAD}"
            )
        written = self._take(size)
        if written != expected:
            raise DamagedArchive(self._sums.difference(written))
        if self._take(len(_padding(size)) + len(_END)).strip(b"\0"):
            raise DamagedArchive(f"the archive's end has changed: {_INSTEAD}")

    def _content(self, name: str, size: int) -> bytes:
        content = self._take(size)
        if self._take(len(_padding(size))).strip(b"\0"):
            raise DamagedArchive(f"{name} has changed since the backup was made: {_INSTEAD}")
        self._sums.add(hashlib.sha256(content).digest())
        return content

    def _take(self, length: int, *, at_start: bool = False) -> bytes:
        data = self._stream.read(length)
        self.length += len(data)
        if len(data) == length:
            return data
        if at_start:
            raise DamagedArchive(
                _FOREIGN if data else "the backup is empty: nothing was stored in it"
            )
        raise DamagedArchive(
            f"the backup is not whole: it ends after {self.length} bytes, before its list of"
            f" checksums; {_INSTEAD}"
        )

    def _misplaced(self, expected: str, found: str) -> str:
        if found:
            return (
                f"{expected} is missing or has changed, {found[:40]!r} is in its place: {_INSTEAD}"
            )
        return (
            f"{expected} should begin at byte {self.length - _BLOCK}, and does not: the backup has"
            f" changed since it was made; {_INSTEAD}"
        )


class _Sums:
    """The checksums of an archive's members, but for the list of them."""

    def __init__(self) -> None:
        self._digests = bytearray()

    @property
    def pieces(self) -> int:
        """How many of them are of data."""
        return len(self._digests) // _DIGEST - 1

    def add(self, digest: bytes) -> None:
        self._digests += digest

    def text(self) -> bytes:
        """The list, as sha256sum writes it."""
        return "".join(self._lines()).encode()

    def checksum(self) -> str:
        """Their own, as sha256sum prints it."""
        return hashlib.sha256(self.text()).hexdigest()

    def difference(self, written: bytes) -> str:
        """Tell what does not agree with a list that differs."""
        for line, theirs in zip(self._lines(), written.split(b"\n"), strict=False):
            if line.rstrip("\n").encode() != theirs:
                name = line.split()[1]
                return f"{name}, or its checksum, has changed since the backup was made: {_INSTEAD}"
        return f"the list of checksums has changed since the backup was made: {_INSTEAD}"

    def _lines(self) -> Iterator[str]:
        names = itertools.chain((_FACTS,), map(_data_name, itertools.count()))
        for start, name in zip(range(0, len(self._digests), _DIGEST), names, strict=False):
            yield f"{self._digests[start : start + _DIGEST].hex()}  {name}\n"


def about(path: Path) -> About:
    """Return what a file is a backup of, looking at its beginning only.

    Raises NotFound, Unavailable or DamagedArchive.
    """
    with _open(path) as stream:
        return Reader(stream).about


def verify(path: Path, progress: Callable[[int, int], None] = _ignore) -> Verified:
    """Look at every byte of a file, and tell `progress` how many that were, of how many.

    Raises NotFound, Unavailable or DamagedArchive.
    """
    with _open(path) as stream:
        total = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        reader = Reader(stream)
        for _ in reader.pieces():
            progress(reader.length, total)
        if reader.length != total:
            raise DamagedArchive(
                f"{total - reader.length} bytes follow the backup's end, none of it: {_INSTEAD}"
            )
        progress(total, total)
        return Verified(reader.about, reader.stored())


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    with stream:
        try:
            yield stream
        except OSError as error:
            raise Unavailable(f"{path} cannot be read to its end: {error.strerror}") from error


def _memory(length: int) -> mmap.mmap:
    """Return memory in huge pages, where there are any: to fill or write it costs half, or less."""
    memory = mmap.mmap(-1, length)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _data_name(number: int) -> str:
    return f"data.{number:08d}"


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def _parsed(header: bytes) -> tuple[str, int]:
    """Return the name and size that a member's header has; nothing when it is none."""
    try:
        member = tarfile.TarInfo.frombuf(header, "ascii", "replace")
    except tarfile.HeaderError:
        return "", -1
    return member.name, member.size


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _about(content: bytes) -> About:
    try:
        version = msgspec.json.decode(content, type=dict[str, object]).get("format")
        if not isinstance(version, int):
            raise DamagedArchive(_FOREIGN)
        if version != VERSION:
            raise DamagedArchive(
                f"the backup has format {version}, which this version does not know:"
                " use a newer miren-csi"
            )
        return about_disk.parse(content)
    except (msgspec.MsgspecError, UnicodeError, InvalidRequest) as error:
        raise DamagedArchive(
            f"{_FACTS} has changed since the backup was made: {_INSTEAD}"
        ) from error
