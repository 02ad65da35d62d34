"""A raw device in a restic repository: as one image, or in parts when its changes are known.

restic reads no file again that is as old and as long as it was in an earlier snapshot, its parent.
So parts are shown to it as files, and those that have not changed since the parent's copy of the
disk was cut are as old as they were there. Each can be read all the same, if restic wants to.
"""

import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO

from csi.errors import Unavailable
from deploy.mover import image, part_files, parts, snapshot_facts, stored
from deploy.mover.about import About
from deploy.mover.children import CHUNK, chunks
from deploy.mover.complaints import DamagedRepository, Message
from deploy.mover.lines import Lines
from deploy.mover.part_files import Shown
from deploy.mover.parts import PART, Changes
from deploy.mover.restic import Restic
from deploy.mover.stored import Facts

_IMAGE = "disk.img"
_PARTS = "device"
"""The folder of a snapshot with the parts."""


def backup(
    restic: Restic, device: Path, about: About, changes: Changes | None, lines: Lines
) -> Facts:
    """Add a backup of a device; raises DiskError, and none is left then."""
    if changes:
        return _store_parts(restic, device, about, changes, lines)
    # Unlike with a pipe to its input, restic keeps nothing if the program that reads is killed.
    words = ("--stdin-filename", _IMAGE, "--stdin-from-command", "--", "cat", str(device))
    tags = snapshot_facts.words(about)
    return stored.facts(stored.store(restic, tags, words, lines, files=None))


def restore(restic: Restic, found: Facts, device: Path, lines: Lines) -> Facts:
    """Fill an empty device from a backup; raises DiskError."""
    is_in_parts = bool(found["part"])
    words = ("--archive=tar",) if is_in_parts else ()
    name = f"/{_PARTS if is_in_parts else _IMAGE}"
    with restic.started("dump", *words, str(found["backup"]), name) as running:
        output = running.child.output
        try:
            data = _joined(output, found) if is_in_parts else chunks(output)
            length = image.write(device, _told(data, lines))
        except tarfile.TarError as error:
            running.finish()
            raise DamagedRepository(f"parts of the backup are missing: {error}") from error
        running.finish()
    return {"bytes": length}


def _store_parts(
    restic: Restic, device: Path, about: About, changes: Changes, lines: Lines
) -> Facts:
    parent = _parent(restic, about, changes)
    shown = _shown(image.size(device), changes, parent, _times(restic, parent))
    files = len(shown.times)
    tags = snapshot_facts.words(about, files, copy=changes.copy, part=PART)
    # Never one that restic chooses: what has changed since, nobody knows.
    since = f"--parent={parent['backup']}" if parent else "--force"
    with tempfile.TemporaryDirectory(prefix="miren-mover-", ignore_cleanup_errors=True) as folder:
        mount = Path(folder, _PARTS)
        mount.mkdir()
        words = (since, "--ignore-ctime", "--ignore-inode", _PARTS)
        with part_files.mounted(device, mount, shown):
            summary = stored.store(restic, tags, words, lines, files=files, folder=mount.parent)
    opened = stored.number(summary, "files_new") + stored.number(summary, "files_changed")
    read = min(opened * PART, stored.number(summary, "total_bytes_processed"))
    return {**stored.facts(summary), "read": read, "since": parent["backup"] if parent else ""}


def _parent(restic: Restic, about: About, changes: Changes) -> Facts | None:
    """Return the backup of the disk since whose copy least has changed, as far as that is known."""
    if not changes.since:
        return None
    known = [
        one
        for one in stored.listed(restic)
        if one["disk"] == about.disk and one["part"] == PART and one["copy"] in changes.since
    ]
    # The newest of several.
    return min(
        reversed(known), key=lambda one: parts.count(changes.since[str(one["copy"])]), default=None
    )


def _times(restic: Restic, parent: Facts | None) -> Mapping[int, int]:
    """Return when each part in a backup was changed, as it says."""
    times: dict[int, int] = {}

    def heard(message: Message) -> None:
        if message.get("type") == "file":
            changed = datetime.fromisoformat(message["mtime"])
            times[part_files.number(message["path"])] = int(changed.timestamp())

    if parent:
        restic.run("ls", str(parent["backup"]), heard=heard)
    return times


def _shown(size: int, changes: Changes, parent: Facts | None, before: Mapping[int, int]) -> Shown:
    """Return the files: as old as before is what has not changed since, and now what may have."""
    changed = changes.since[str(parent["copy"])] if parent else changes.written
    now = max(int(time.time()), *before.values(), 0) + 1
    times = {part: before.get(part, now) for part in parts.numbers(changes.written, size)}
    times.update({part: now for part in parts.numbers(changed, size) if part in times})
    return Shown(size, PART, times)


def _joined(pipe: IO[bytes], found: Facts) -> Iterator[bytes]:
    """Yield the whole device from a tar of its parts; raises TarError, Unavailable."""
    part, at, files = int(str(found["part"])), 0, 0
    with tarfile.open(fileobj=pipe, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None:
                continue  # a folder
            start = part_files.number(member.name) * part
            yield from _zeros(start - at)
            yield from chunks(content)
            at, files = start + member.size, files + 1
    if files != found["files"]:
        raise Unavailable(f"{files} parts came of the {found['files']} that the backup has")
    yield from _zeros(int(str(found["size"])) - at)


def _zeros(length: int) -> Iterator[bytes]:
    while length > 0:
        yield bytes(min(length, CHUNK))
        length -= CHUNK


def _told(data: Iterator[bytes], lines: Lines) -> Iterator[bytes]:
    done = 0
    for chunk in data:
        yield chunk
        done += len(chunk)
        lines.progress(done, None, 0)
