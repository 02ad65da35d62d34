"""Which blocks of a thin snapshot are written, or differ from another's: from the pool's metadata.

The kernel lets a running pool's metadata be read through a "metadata snapshot" (kernel docs,
device-mapper/thin-provisioning, "reserve_metadata_snap"), which thin_dump(8) and thin_delta(8)
then read. There can be only one at a time, so a lock file is held from reserve to release.
"""

import fcntl
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from controller import lvm_lock
from controller.thin_pool import ThinPool
from csi import programs
from csi.disk import Extent
from csi.errors import ProgramFailed

_SECTOR = 512
_ATTRIBUTE = re.compile(r'(\w+)="(\d+)"')
_DIFFERENCES = ("<different", "<left_only", "<right_only")


class ThinMetadata:
    """Reads the block maps of thin volumes of one pool."""

    def __init__(self, pool: ThinPool) -> None:
        """Args: the pool whose metadata is read."""
        self._pool = pool
        self._tmeta = pool.metadata_device

    def allocated(self, thin_id: int, size: int) -> Iterator[Extent]:
        """Yield the written extents of a thin volume of `size` bytes, ascending."""
        dump = ["thin_dump", "-m", "--dev-id", str(thin_id), str(self._tmeta)]
        with tempfile.TemporaryFile("w+") as text:
            self._read(dump, text)
            yield from mappings(text, size)

    def changed(self, base: int, target: int, size: int) -> Iterator[Extent]:
        """Yield the extents in which thin volume `target` differs from `base`, ascending."""
        delta = ["thin_delta", "-m", "--snap1", str(base), "--snap2", str(target)]
        with tempfile.TemporaryFile("w+") as text:
            self._read([*delta, str(self._tmeta)], text)
            yield from differences(text, size)

    def made(self) -> dict[int, int]:
        """Return in which transaction of the pool each volume was made."""
        listing = ["thin_ls", "-m", "--no-headers", "-o", "DEV,TRANSACTION", str(self._tmeta)]
        with tempfile.TemporaryFile("w+") as text:
            self._read(listing, text)
            rows = [line.split() for line in text]
        return {int(number): int(transaction) for number, transaction in rows}

    def _read(self, argv: list[str], into: IO[str]) -> None:
        with self._snapshot():
            programs.run(argv, stdout=into)
        into.seek(0)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        with (lvm_lock.folder() / f"miren-csi-{self._pool.device}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._pool.message("reserve_metadata_snap")
            except ProgramFailed:
                # Left by a reader that was killed: whoever holds the lock owns it.
                self._pool.message("release_metadata_snap")
                self._pool.message("reserve_metadata_snap")
            try:
                yield
            finally:
                self._pool.message("release_metadata_snap")


def _attributes(line: str) -> dict[str, int]:
    return {key: int(value) for key, value in _ATTRIBUTE.findall(line)}


def mappings(dump: Iterable[str], size: int) -> Iterator[Extent]:
    """Yield the extents in thin_dump's XML, joined, within the first `size` bytes."""
    return _clip(_mappings(dump), size)


def differences(delta: Iterable[str], size: int) -> Iterator[Extent]:
    """Yield the extents that are not the same in thin_delta's XML, joined, within `size` bytes."""
    return _clip(_differences(delta), size)


def _mappings(text: Iterable[str]) -> Iterator[Extent]:
    block = 0
    for line in text:
        facts = _attributes(line)
        if "<superblock" in line:
            block = facts["data_block_size"] * _SECTOR
        elif "<single_mapping" in line:
            yield Extent(facts["origin_block"] * block, block)
        elif "<range_mapping" in line:
            yield Extent(facts["origin_begin"] * block, facts["length"] * block)


def _differences(text: Iterable[str]) -> Iterator[Extent]:
    block = 0
    for line in text:
        facts = _attributes(line)
        if "<superblock" in line:
            block = facts["data_block_size"] * _SECTOR
        elif line.strip().startswith(_DIFFERENCES):
            yield Extent(facts["begin"] * block, facts["length"] * block)


def _clip(extents: Iterator[Extent], size: int) -> Iterator[Extent]:
    """Join neighbours and cut what lies beyond the volume's end."""
    pending: Extent | None = None
    for extent in extents:
        if pending and pending.offset + pending.length == extent.offset:
            pending = Extent(pending.offset, pending.length + extent.length)
            continue
        if pending:
            yield pending
        pending = extent
    if pending and pending.offset < size:
        yield Extent(pending.offset, min(pending.length, size - pending.offset))
