"""Snapshots that somebody has made of others since: `restic repair`, `rewrite`, `tag`, `copy`.

restic leaves in them what they say of themselves, whatever they have lost.
"""

from collections.abc import Iterable

from deploy.mover import snapshot_facts, stored
from deploy.mover.complaints import DamagedRepository, Message
from deploy.mover.restic import Restic
from deploy.mover.stored import Facts


def require_whole(restic: Restic, found: Facts) -> None:
    """Raise DamagedRepository if a backup was rewritten, and has not all that was stored."""
    if not found["rewritten"]:
        return
    files, size = _left(restic, found)
    if (files, size) != (found["files"], found["bytes"]):
        had = f"{found['files']} files with {found['bytes']} bytes"
        raise lacks(found, f"of {had} it has {files} with {size}")


def set_aside(restic: Restic, snapshots: Iterable[Message]) -> None:
    """Have those that lack anything be no backups any more; their owner still has them."""
    if lacking := [one["id"] for one in snapshots if _lacks_any(restic, one)]:
        restic.run("tag", f"--remove={snapshot_facts.COMPLETE}", *lacking)


def lacks(found: Facts, what: str) -> DamagedRepository:
    """Return the error that a backup has not what was stored."""
    return DamagedRepository(
        f"backup {found['backup']} is not as it was stored, so it cannot be restored: {what};"
        " somebody may have repaired the repository: restic can give out what is left"
    )


def _lacks_any(restic: Restic, snapshot: Message) -> bool:
    found = snapshot_facts.facts(snapshot)
    stored_then = found["files"], found["bytes"]
    return snapshot_facts.lacks_files(snapshot) or _left(restic, found) != stored_then


def _left(restic: Restic, found: Facts) -> tuple[int, int]:
    """Return how many files are in a backup, and the bytes in them."""
    sizes: list[int] = []

    def heard(message: Message) -> None:
        if message.get("type") == "file":
            sizes.append(stored.number(message, "size"))

    restic.run("ls", str(found["backup"]), heard=heard)
    return len(sizes), sum(sizes)
