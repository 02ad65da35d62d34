"""What a restic snapshot says of the disk that it is a backup of.

restic's own fields, its host and tags. A mover that is killed between storing a snapshot that lacks
files and taking it away leaves one whose tag tells of more files than it has: that is no backup.
"""

from collections.abc import Mapping
from typing import Any

from deploy.mover.about import About
from deploy.mover.complaints import Message

COMPLETE = "complete"
"""The tag of all backups."""
CLUSTER = "cluster"
"""The name of the tag with the cluster that has made it."""

_FILES = "files"
_COPY = "copy"
_PART = "part"
_SHORT = 8


def words(
    about: About, files: int | None = None, *, copy: str = "", part: int = 0
) -> tuple[str, ...]:
    """Return restic's options for what a backup says of itself.

    Args:
        about: the disk.
        files: how many it has; None for a device that is stored as one image.
        copy: the key of the copy of a device that is stored in parts.
        part: bytes of such a part.
    """
    tags = {
        "size": about.size,
        "filesystem": about.filesystem,
        "mode": about.mode,
        CLUSTER: about.cluster,
        _COPY: copy,
        _PART: part,
    }
    named = [f"--tag={name}={value}" for name, value in tags.items() if value]
    counted = [] if files is None else [f"--tag={_FILES}={files}"]
    moment = about.moment()
    return (
        f"--host={about.disk}",
        "--group-by=host",
        f"--tag={COMPLETE}",
        *named,
        *counted,
        *([f"--time={moment:%Y-%m-%d %H:%M:%S}"] if moment else []),
    )


def short(snapshot: str) -> str:
    """Return a snapshot's ID as people use it."""
    return snapshot[:_SHORT]


def is_complete(snapshot: Message) -> bool:
    """Tell whether it is a backup, of all that its disk had."""
    return COMPLETE in _tags(snapshot) and not lacks_files(snapshot)


def lacks_files(snapshot: Message) -> bool:
    """Tell whether it has not as many files as its disk had."""
    tags, summary = _tags(snapshot), _summary(snapshot)
    return _FILES in tags and tags[_FILES] != str(summary.get("total_files_processed"))


def is_rewritten(snapshot: Message) -> bool:
    """Tell whether somebody has made it of another one, with restic."""
    return bool(snapshot.get("original"))


def facts(snapshot: Message) -> dict[str, object]:
    """Return what a backup says of itself; sizes are bytes."""
    tags, summary = _tags(snapshot), _summary(snapshot)
    return {
        "backup": short(snapshot["id"]),
        "disk": snapshot["hostname"],
        "time": snapshot["time"],
        "size": int(tags.get("size", 0)),
        "filesystem": tags.get("filesystem", ""),
        "mode": tags.get("mode", "filesystem"),
        "cluster": tags.get(CLUSTER, ""),
        "bytes": summary.get("total_bytes_processed", 0),
        # Unlike what a restore counts, without folders.
        "files": summary.get("total_files_processed", 0),
        "added": summary.get("data_added_packed", 0),
        "copy": tags.get(_COPY, ""),
        "part": int(tags.get(_PART, 0)),
        "rewritten": is_rewritten(snapshot),
    }


def _summary(snapshot: Message) -> Mapping[str, Any]:
    return snapshot.get("summary") or {}


def _tags(snapshot: Message) -> dict[str, str]:
    return dict(tag.partition("=")[::2] for tag in snapshot.get("tags") or [])
