"""Backups as snapshots of restic: stored with all that they should have, or not at all."""

from collections.abc import Sequence
from pathlib import Path

from csi.errors import DiskError, Unavailable
from deploy.mover import snapshot_facts
from deploy.mover.complaints import INCOMPLETE, Message
from deploy.mover.lines import Lines
from deploy.mover.restic import FIRST_ANSWER, Heard, Restic

Facts = dict[str, object]


def store(
    restic: Restic,
    tags: Sequence[str],
    what: Sequence[str],
    lines: Lines,
    *,
    files: int | None,
    folder: Path | None = None,
) -> Message:
    """Have restic store a snapshot, and return its summary; raises DiskError, and none is left.

    Args:
        restic: where.
        tags: restic's words for what the snapshot says of itself.
        what: restic's words for what of the disk is stored.
        lines: told how far it is.
        files: how many that must be; None for a device.
        folder: where relative names begin.
    """
    summary: Message = {}

    def heard(message: Message) -> None:
        if message.get("message_type") == "status":
            done, so_far = number(message, "bytes_done"), number(message, "files_done")
            lines.progress(done, message.get("total_bytes"), so_far)
        elif message.get("message_type") == "summary":
            summary.update(message)

    words = ("backup", *tags, *what)
    try:
        ended = restic.run(*words, heard=heard, accept=(0, INCOMPLETE), folder=folder)
        if ended == INCOMPLETE:
            raise Unavailable(
                "parts of the disk could not be read, so nothing is kept of this backup"
            )
        stored = summary["total_files_processed"]
        if files not in {None, stored}:
            raise Unavailable(
                f"the disk has {files} files and {stored} were stored, so nothing is kept of this"
                " backup"
            )
    except DiskError:
        # It may have come to its end all the same.
        if "snapshot_id" in summary:
            restic.run("forget", str(summary["snapshot_id"]))
        raise
    return summary


def facts(summary: Message) -> Facts:
    """Return what a mover says of a snapshot that is stored; sizes are bytes."""
    return {
        "backup": snapshot_facts.short(summary["snapshot_id"]),
        "bytes": summary["total_bytes_processed"],
        "added": summary["data_added_packed"],
        "files": summary["total_files_processed"],
    }


def listed(restic: Restic, *ids: str) -> list[Facts]:
    """Return the backups that are complete, or those of these IDs, the oldest first."""
    snapshots: list[Message] = []
    words = ("snapshots", "--no-lock", *ids)
    restic.run(*words, heard=snapshots.append, patience=FIRST_ANSWER)
    found = [snapshot_facts.facts(one) for one in snapshots if snapshot_facts.is_complete(one)]
    return sorted(found, key=lambda one: str(one["time"]))


def each_file(restic: Restic, backup: str, heard: Heard) -> None:
    """Tell of all files in a backup, as restic's `ls` does; raises DiskError."""

    def told(message: Message) -> None:
        if message.get("type") == "file":
            heard(message)

    restic.run("ls", backup, heard=told)


def number(message: Message, name: str) -> int:
    """Return a number of restic's message, 0 if it has none of that name."""
    return int(message.get(name) or 0)
