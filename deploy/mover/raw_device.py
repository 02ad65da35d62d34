"""A raw device in a restic repository: as one image, or in parts when its changes are known.

restic reads no file again that is as old and as long as it was in an earlier snapshot, its parent.
So parts are shown to it as files, and those that have not changed since the parent's copy of the
disk was cut are as old as they were there. Each can be read all the same, if restic wants to.
"""

import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, cast

from deploy.mover import image, part_files, parts, rewritten, snapshot_facts, stored
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
    """Fill an empty device from a backup; raises DiskError, DamagedRepository if that lacks any."""
    fill = _restore_parts if found["part"] else _restore_image
    return {"bytes": fill(restic, found, device, lines)}


def _restore_image(restic: Restic, found: Facts, device: Path, lines: Lines) -> int:
    with restic.started("dump", str(found["backup"]), f"/{_IMAGE}") as running:
        length = image.write(device, _told(chunks(running.child.output), lines))
        running.finish()
    if length != found["bytes"]:
        raise rewritten.lacks(found, f"{length} bytes came of {found['bytes']}")
    return length


def _restore_parts(restic: Restic, found: Facts, device: Path, lines: Lines) -> int:
    with restic.started("dump", "--archive=tar", str(found["backup"]), f"/{_PARTS}") as running:
        try:
            length = image.write(device, _told(_joined(running.child.output, found), lines))
        except DamagedRepository:
            running.finish()  # which may know better why
            raise
        running.finish()
    return length


def _joined(pipe: IO[bytes], found: Facts) -> Iterator[bytes]:
    """Yield a whole device from a tar of its parts; raises DamagedRepository if any is missing."""
    size, part = (int(str(found[name])) for name in ("size", "part"))
    at = total = files = 0
    try:
        with tarfile.open(fileobj=pipe, mode="r|") as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                start = part_files.part_of(member.name) * part
                if start < at or at % part:
                    raise rewritten.lacks(found, f"a part before {member.name} is too short")
                yield from _zeros(start - at)
                yield from chunks(cast("IO[bytes]", tar.extractfile(member)))
                at = start + member.size
                total, files = total + member.size, files + 1
    except tarfile.TarError as error:
        raise rewritten.lacks(found, str(error)) from error
    if (files, total) != (found["files"], found["bytes"]):
        raise rewritten.lacks(found, f"{files} parts of {total} bytes came")
    yield from _zeros(size - at)


def _store_parts(
    restic: Restic, device: Path, about: About, changes: Changes, lines: Lines
) -> Facts:
    parent = _parent(restic, about, changes)
    shown = _shown(image.size(device), changes, parent, _times(restic, parent))
    tags = snapshot_facts.words(about, len(shown.times), copy=changes.copy, part=PART)
    if parent:
        since = str(parent["backup"])
        options = (*tags, f"--parent={since}")
        try:
            return {**_store_shown(restic, device, shown, options, lines), "since": since}
        except DamagedRepository as error:
            lines.note(f"all of the disk is read, as backup {since} is damaged: {error}")
    # Else restic would choose a parent, since which nobody knows what has changed.
    return _store_shown(restic, device, shown, (*tags, "--force"), lines)


def _store_shown(
    restic: Restic, device: Path, shown: Shown, options: Sequence[str], lines: Lines
) -> Facts:
    with tempfile.TemporaryDirectory(prefix="miren-mover-", ignore_cleanup_errors=True) as folder:
        mount = Path(folder, _PARTS)
        mount.mkdir()
        what, files = ("--ignore-ctime", "--ignore-inode", _PARTS), len(shown.times)
        with part_files.mounted(device, mount, shown):
            summary = stored.store(restic, options, what, lines, files=files, folder=mount.parent)
    opened = stored.number(summary, "files_new") + stored.number(summary, "files_changed")
    read = min(opened * PART, stored.number(summary, "total_bytes_processed"))
    return {**stored.facts(summary), "read": read}


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

    def heard(file: Message) -> None:
        changed = datetime.fromisoformat(file["mtime"])
        times[part_files.part_of(file["path"])] = int(changed.timestamp())

    if parent:
        stored.each_file(restic, str(parent["backup"]), heard)
    return times


def _shown(size: int, changes: Changes, parent: Facts | None, before: Mapping[int, int]) -> Shown:
    """Return the files: as old as before is what has not changed since, and now what may have."""
    changed = changes.since[str(parent["copy"])] if parent else changes.written
    now = max(int(time.time()), *before.values(), 0) + 1
    times = {part: before.get(part, now) for part in parts.within(changes.written, size)}
    times.update({part: now for part in parts.within(changed, size) if part in times})
    return Shown(size, PART, times)


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
