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
    if found["rewritten"] and (what := _lost(restic, found)):
        raise lacks(found, what)


def set_aside(restic: Restic, snapshots: Iterable[Message]) -> None:
    """Have those that lack anything be no backups any more; their owner still has them."""
    lacking = [
        one["id"]
        for one in snapshots
        if snapshot_facts.lacks_files(one) or _lost(restic, snapshot_facts.facts(one))
    ]
    if lacking:
        restic.run("tag", f"--remove={snapshot_facts.COMPLETE}", *lacking)


def lacks(found: Facts, what: str) -> DamagedRepository:
    """Return the error that a backup has not what was stored."""
    return DamagedRepository(
        f"backup {found['backup']} is not as it was stored, so it cannot be restored: {what};"
        " somebody may have repaired the repository: restic can give out what is left"
    )


def _lost(restic: Restic, found: Facts) -> str:
    """Tell what a backup has of all that was stored; nothing when that is all."""
    sizes: list[int] = []
    stored.each_file(
        restic, str(found["backup"]), lambda file: sizes.append(stored.number(file, "size"))
    )
    had, left = (found["files"], found["bytes"]), (len(sizes), sum(sizes))
    if left == had:
        return ""
    return f"of {had[0]} files with {had[1]} bytes it has {left[0]} with {left[1]}"
