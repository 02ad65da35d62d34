"""Makes a group of snapshots appear as a whole: a kill half-way leaves a note of what to undo."""

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from controller import image_file
from controller.image_file import Draft

_PREFIX = ".group-"


@contextmanager
def noted(folder: Path, members: Mapping[Path, Draft]) -> Iterator[None]:
    """Publish drafts inside: all stay when that succeeds, none when it does not, even by a kill.

    Args:
        folder: where they are published.
        members: the path that each of them will have.
    """
    made = {path.name: os.fstat(draft.fd).st_ino for path, draft in members.items()}
    note = folder / f"{_PREFIX}{uuid.uuid4().hex}"
    with image_file.draft(folder) as draft:
        # The lock tells `undo` in another process that this one is alive.
        fcntl.flock(draft.fd, fcntl.LOCK_EX)
        os.write(draft.fd, json.dumps(made).encode())
        os.fsync(draft.fd)
        draft.publish(note)
        image_file.sync(folder)
        try:
            yield
            image_file.sync(folder)
        except BaseException:
            _remove(folder, made)
            note.unlink()
            raise
        # The members must be on disk before the note goes, and the note gone before anybody is
        # told: else a power cut would bring it back to undo what was promised.
        note.unlink()
        image_file.sync(folder)


def undo(folder: Path) -> None:
    """Remove what killed calls left of groups that they did not finish."""
    for note in folder.glob(f"{_PREFIX}*"):
        gone_or_alive = contextlib.suppress(FileNotFoundError, BlockingIOError)
        with gone_or_alive, image_file.locked(note, wait=False):
            _remove(folder, json.loads(note.read_bytes()))
            image_file.sync(folder)
            note.unlink()


def _remove(folder: Path, made: Mapping[str, int]) -> None:
    for name, inode in made.items():
        path = folder / name
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()
