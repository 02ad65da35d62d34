"""Backups in a restic repository.

restic writes a snapshot when everything is stored, so what is killed leaves none; one that lacks
files is taken away again. `deploy.mover.snapshot_facts` says which snapshots are backups.
"""

import fcntl
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from csi import programs
from csi.errors import Busy, Incompatible, InvalidRequest, NotFound, Unavailable
from csi.files import opened as opened_file
from deploy.mover import image, raw_device, rewritten, snapshot_facts, stored, tree
from deploy.mover.about import About
from deploy.mover.children import Child, chunks
from deploy.mover.complaints import NO_REPOSITORY, DamagedRepository, Message
from deploy.mover.lines import Lines
from deploy.mover.parts import Changes
from deploy.mover.restic import FIRST_ANSWER, Restic, opened
from deploy.mover.stored import Facts

PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
"""What `prune` keeps a number of."""

_ID = re.compile(r"[0-9a-f]{8,64}")


def backup(
    folder: Path, about: About, lines: Lines, *, block: bool, changes: Changes | None = None
) -> Facts:
    """Add a backup of a folder, or of the device in it; makes the repository if there is none.

    Of a device whose changes are known only these are read.

    Raises DiskError; no such backup is listed then.
    """
    with opened(os.environ, lines.note) as restic:
        _ensure(restic, lines)
        if block:
            return raw_device.backup(restic, image.path(folder), about, changes, lines)
        files, sockets = _counted(folder)
        tags = snapshot_facts.words(about, files)
        summary = stored.store(restic, tags, (str(folder),), lines, files=files)
        _note_sockets(sockets, folder, lines)
    return stored.facts(summary)


def restore(folder: Path, backup: str, lines: Lines, *, block: bool) -> Facts:
    """Fill an empty folder, or the empty device in it, from a backup, and verify it.

    Raises DiskError: the folder, or device, then holds something that nobody should use.
    """
    if block:
        image.require_empty(image.path(folder))
    else:
        tree.require_empty(folder)
    with opened(os.environ, lines.note) as restic:
        found = _find(restic, backup)
        if block != (found["mode"] == "block"):
            was = "a raw device" if found["mode"] == "block" else "a filesystem"
            raise Incompatible(
                f'backup {backup} is of {was}, disk "{found["disk"]}": restore it to one like that'
            )
        if block:
            done = raw_device.restore(restic, found, image.path(folder), lines)
        else:
            rewritten.require_whole(restic, found)
            done = _restore_folder(restic, backup, folder, lines)
    programs.run(["sync", "--file-system", str(image.path(folder) if block else folder)])
    return {**found, **done}


def listed(lines: Lines) -> Facts:
    """Return all backups that are complete, the oldest first; raises DiskError."""
    with opened(os.environ, lines.note) as restic:
        return {"backups": stored.listed(restic)}


def check(lines: Lines, *, read_data: bool) -> Facts:
    """Verify the repository's structure, and if `read_data` all that it holds.

    Raises DiskError, DamagedRepository if anything is wrong with it.
    """
    with opened(os.environ, lines.note) as restic:
        _first(restic, "unlock")
        restic.run("check", *(["--read-data"] if read_data else []))
        backups = stored.listed(restic)
        for one in backups:
            rewritten.require_whole(restic, one)
        return {"backups": len(backups), "readData": read_data}


def prune(disk: str, keep: Mapping[str, int], lines: Lines, *, cluster: str = "") -> Facts:
    """Remove a disk's backups but for those that `keep` says, by PERIODS; free what only they held.

    With `cluster` only those that it has made: another may have a disk of that name. Raises
    DiskError; InvalidRequest when nothing would be kept.
    """
    if min(keep.values()) < 0 or not any(keep.values()):
        raise InvalidRequest("say how many backups are to be kept, such as --keep-last 7")
    groups: list[Message] = []
    words = [f"--keep-{period}={number}" for period, number in keep.items() if number]
    with opened(os.environ, lines.note) as restic:
        _first(restic, "unlock")
        _leave_out_incomplete(restic)
        made_by = f",{snapshot_facts.CLUSTER}={cluster}" if cluster else ""
        tags = f"{snapshot_facts.COMPLETE}{made_by}"
        of = (f"--host={disk}", f"--tag={tags}", "--group-by=host")
        restic.run("forget", "--prune", *of, *words, heard=groups.append)
    kept, removed = (
        [snapshot_facts.short(one["id"]) for group in groups for one in group.get(which) or []]
        for which in ("keep", "remove")
    )
    return {"kept": kept, "removed": removed}


def _first(restic: Restic, *words: str, accept: tuple[int, ...] = (0,)) -> int:
    """Ask a repository for the first time: that its address is wrong shall show soon."""
    return restic.run(*words, accept=accept, patience=FIRST_ANSWER)


def make(lines: Lines) -> Facts:
    """Make the repository unless there is one, and tell whether it was made; raises DiskError."""
    with opened(os.environ, lines.note) as restic:
        return {"made": _ensure(restic, lines)}


def _ensure(restic: Restic, lines: Lines) -> bool:
    if _exists(restic):
        return False
    with _alone(restic.repository):
        if _exists(restic):
            return False
        restic.run("init")
    if not _is_here(restic.repository):
        _require_made_once(restic)
    lines.note(f"a new repository was made at {restic.repository}")
    return True


def _is_here(repository: str) -> bool:
    return repository.startswith("/")


def _require_made_once(restic: Restic) -> None:
    """Raise Busy if another mover has made the repository at the same moment."""
    try:
        _exists(restic)
    except DamagedRepository as error:
        raise Busy(
            f"the repository {restic.repository} was made by two backups at the same moment, and"
            " neither can use it: delete all that is in it, and start one of them"
        ) from error


@contextmanager
def _alone(repository: str) -> Iterator[None]:
    """Keep others on this node from making the same repository; restic does not.

    With one that is not on this node, nobody can.
    """
    if not _is_here(repository):
        yield
        return
    Path(repository).mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened_file(Path(repository)) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def _exists(restic: Restic) -> bool:
    """Tell whether there is a repository; what killed movers left in it is taken away.

    restic itself takes only locks for such that have not been renewed for half an hour.
    """
    return _first(restic, "unlock", accept=(0, NO_REPOSITORY)) == 0


def _counted(folder: Path) -> tuple[int, list[bytes]]:
    """Return the number of a folder's regular files, and its sockets, which restic leaves out.

    Raises Unavailable when not all of it can be read.
    """
    found = ("(", "-type", "s", "-print0", "-o", "-type", "f", "-printf", "\\0", ")")
    with Child(("find", str(folder), *found)) as find:
        *names, _ = b"".join(chunks(find.output)).split(b"\0")
        if find.wait() != 0:
            raise Unavailable(f"the disk could not be read: {find.said}")
    sockets = [name for name in names if name]
    return len(names) - len(sockets), sockets


def _note_sockets(names: Sequence[bytes], folder: Path, lines: Lines) -> None:
    for name in names:
        shown = name.removeprefix(os.fsencode(folder) + b"/").decode("utf-8", "backslashreplace")
        lines.note(tree.left_out(shown))


def _restore_folder(restic: Restic, backup: str, folder: Path, lines: Lines) -> Facts:
    summary: Message = {}

    def heard(message: Message) -> None:
        done = stored.number(message, "bytes_restored")
        if message.get("message_type") == "status":
            files = stored.number(message, "files_restored")
            lines.progress(done, message.get("total_bytes"), files)
        elif message.get("message_type") == "summary":
            summary.update(bytes=done)

    # The snapshot holds the folder itself, with its owner and mode, so its parent is the target.
    words = ("restore", backup, f"--target={folder.parent}", "--sparse", "--verify")
    restic.run(*words, heard=heard)
    return summary


def _leave_out_incomplete(restic: Restic) -> None:
    """See to it that nothing is kept instead of a good backup that is none.

    What a killed mover has left is removed; what somebody has made with restic is his.
    """
    found: list[Message] = []
    restic.run("snapshots", f"--tag={snapshot_facts.COMPLETE}", heard=found.append)
    rewritten.set_aside(restic, filter(snapshot_facts.is_rewritten, found))
    ours = itertools.filterfalse(snapshot_facts.is_rewritten, found)
    if lacking := [str(one["id"]) for one in ours if snapshot_facts.lacks_files(one)]:
        restic.run("forget", *lacking)


def _find(restic: Restic, backup: str) -> Facts:
    if not _ID.fullmatch(backup):
        raise InvalidRequest(f"{backup!r} is no backup's ID: list them, they look like 1a2b3c4d")
    found = stored.listed(restic, backup)
    if len(found) != 1:
        raise NotFound(f"there is no complete backup {backup} at {restic.repository}: list them")
    return found[0]
