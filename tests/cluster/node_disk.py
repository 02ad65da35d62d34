"""Disks that hold what is on a node's /var at first, its images: each made once and kept."""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.programs import run
from tests.lvm.vm import make_image

_SIZE = 12 << 30
_KEPT = 2
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_FILL = Path(__file__).with_name("node-fill")
_RECIPE = [_FILL, _FILL.with_name("node-containers")]


class NodeDisks:
    """Makes disks, with the help of a cache folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def make(self, path: Path, archives: Sequence[Path]) -> None:
        """Make a disk that holds these images, for reading only, as others may have it too.

        The names of the archives' files must tell their content.
        """
        with self._kept(archives) as full:
            try:
                path.hardlink_to(full)
            except OSError:  # another filesystem
                run("cp", "--sparse=auto", full, path)

    def copy(self, path: Path, archives: Sequence[Path]) -> None:
        """Make such a disk that may be written to."""
        with self._kept(archives) as full:
            run("cp", "--sparse=always", full, path)

    def make_ahead(self, archives: Sequence[Path]) -> None:
        """Do what takes long of making such disks."""
        with self._kept(archives):
            pass

    @contextmanager
    def _kept(self, archives: Sequence[Path]) -> Iterator[Path]:
        self._cache.mkdir(parents=True, exist_ok=True)
        facts = b"".join(file.read_bytes() for file in _RECIPE) + repr(sorted(archives)).encode()
        full = self._cache / f"node-{hashlib.sha256(facts).hexdigest()[:16]}.img"
        with (self._cache / "node.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not full.exists():
                _fill(full, archives)
            # Not the time of its last change, which those who have it are told by.
            os.utime(full, ns=(time.time_ns(), full.stat().st_mtime_ns))
            for old in sorted(self._cache.glob("node-*.img"), key=_age)[_KEPT:]:
                old.unlink()
            yield full


def link_or_copy(archives: Sequence[Path], folder: Path) -> None:
    """Put images' archives into a node's share."""
    for archive in archives:
        place = folder / archive.name
        try:
            place.hardlink_to(archive)
        except FileExistsError:
            continue
        except OSError:  # another filesystem
            shutil.copy(archive, place)


def _age(path: Path) -> float:
    return -path.stat().st_atime


def _fill(path: Path, archives: Sequence[Path]) -> None:
    print(f"making a node's disk with {len(archives)} images", file=sys.stderr)
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    make_image(new, _SIZE)
    run(*_ALONE, _FILL, new, *archives)
    new.rename(path)
