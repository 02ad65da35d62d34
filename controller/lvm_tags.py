"""What LV tags say about a disk or snapshot: LVM is the only database there is.

A tag may be 1024 characters long and consist of [A-Za-z0-9_+.-/=!:&#] (lvm(8), "Tags"). Ours read
`miren.KEY=VALUE`; whatever a user wrote is encoded byte by byte, `+` and two hex digits for every
byte that is not plain. Fields that LVM keeps itself (size, read-ahead) are not repeated in tags.
"""

import re
from collections.abc import Iterable, Mapping

from csi.disk import (
    DEFAULT_FILESYSTEM,
    DEFAULT_LEASE_TIMEOUT,
    Content,
    Disk,
    Snapshot,
    Source,
    SourceKind,
)
from csi.errors import ProgramFailed

PREFIX = "miren."

DISK = "disk"
SNAPSHOT = "snapshot"
CONTENT = "content"
FILESYSTEM = "fs"
CREATED_BY = "by"
SOURCE = "from"
LEASE_TIMEOUT = "lease"
FRESH_UUID = "uuid"
GROW = "grow"
"""Bytes that a clone still has to grow to: set with its creation, dropped when it has grown."""
SCRATCH = "scratch"
"""The uid of the pod whose scratch volume it is; a disk of users has no such tag."""
TIME = "time"
"""When a snapshot was cut; one without it belongs to a group that is being cut, or never was."""
GROUP = "group"

_SECTOR = 512


def encode(text: str) -> str:
    """Return `text` with every byte outside [A-Za-z0-9_.-] as `+` and two hex digits."""
    return re.sub(rb"[^A-Za-z0-9_.-]", lambda m: b"+%02x" % m.group()[0], text.encode()).decode()


def decode(text: str) -> str:
    """Undo `encode`."""
    plain = re.sub(rb"\+([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), text.encode())
    return plain.decode(errors="replace")


def tag(key: str, value: str) -> str:
    """Return the tag that says `key` is `value`."""
    return f"{PREFIX}{key}={encode(value)}"


def parse(tags: str) -> dict[str, str]:
    """Return our facts from the comma-separated tags of an LV; other tags are ignored."""
    pairs = (one.removeprefix(PREFIX).partition("=") for one in tags.split(",") if _ours(one))
    return {key: decode(value) for key, _, value in pairs}


def _ours(one: str) -> bool:
    return one.startswith(PREFIX)


def disk_tags(disk: Disk, *, grow: int | None = None) -> list[str]:
    """Return the tags that describe a new disk."""
    facts = {
        DISK: disk.name,
        CONTENT: disk.content.value,
        FILESYSTEM: disk.filesystem,
        CREATED_BY: disk.created_by,
        SOURCE: f"{disk.source.kind}/{disk.source.name}" if disk.source else "",
        LEASE_TIMEOUT: repr(disk.lease_timeout),
        FRESH_UUID: "renew" if disk.fresh_uuid else "",
        GROW: str(grow) if grow else "",
        SCRATCH: disk.scratch_for,
    }
    return _tags(facts)


def snapshot_tags(snapshot: Snapshot) -> list[str]:
    """Return the tags that describe a new snapshot."""
    facts = {
        SNAPSHOT: snapshot.name,
        DISK: snapshot.disk,
        CONTENT: snapshot.content.value,
        FILESYSTEM: snapshot.filesystem,
        TIME: str(snapshot.created_ns or ""),
        GROUP: snapshot.group,
    }
    return _tags(facts)


def _tags(facts: Mapping[str, str]) -> list[str]:
    return [tag(key, value) for key, value in facts.items() if value]


def content_change(content: Content, filesystem: str | None, known: Iterable[str]) -> list[str]:
    """Return lvchange's arguments that record what is on a disk and that its UUID is its own."""
    words = [tag(FRESH_UUID, "renew"), *(tag(CONTENT, c) for c in Content if c is not content)]
    new = [tag(CONTENT, content)]
    if filesystem is not None:
        words += [tag(FILESYSTEM, other) for other in known if other != filesystem]
        new.append(tag(FILESYSTEM, filesystem))
    removed = [word for old in words for word in ("--deltag", old)]
    return removed + [word for one in new for word in ("--addtag", one)]


def disk_of(row: Mapping[str, str]) -> Disk:
    """Read a disk from a row with lv_name, lv_size (bytes), lv_tags and lv_read_ahead."""
    facts = _facts(row)
    kind, _, name = facts.get(SOURCE, "").partition("/")
    ahead = row.get("lv_read_ahead", "auto")
    return Disk(
        name=facts[DISK],
        size=int(row["lv_size"]),
        filesystem=facts.get(FILESYSTEM, DEFAULT_FILESYSTEM),
        content=Content(facts.get(CONTENT, Content.RAW)),
        created_by=facts.get(CREATED_BY, ""),
        source=Source(SourceKind(kind), name) if kind else None,
        lease_timeout=float(facts.get(LEASE_TIMEOUT, DEFAULT_LEASE_TIMEOUT)),
        read_ahead_kib=None if ahead == "auto" else int(ahead) // 1024,
        fresh_uuid=FRESH_UUID in facts,
        scratch_for=facts.get(SCRATCH, ""),
    )


def snapshot_of(row: Mapping[str, str]) -> Snapshot:
    """Read a snapshot from a row with lv_name, lv_size (bytes) and lv_tags."""
    facts = _facts(row)
    return Snapshot(
        name=facts[SNAPSHOT],
        disk=facts.get(DISK, ""),
        size=int(row["lv_size"]),
        created_ns=int(facts[TIME]),
        group=facts.get(GROUP, ""),
        filesystem=facts.get(FILESYSTEM, DEFAULT_FILESYSTEM),
        content=Content(facts.get(CONTENT, Content.RAW)),
    )


def is_ours(row: Mapping[str, str]) -> bool:
    """Tell whether this driver has made an LV, whatever it is."""
    return bool({DISK, SNAPSHOT} & parse(row["lv_tags"]).keys())


def is_disk(row: Mapping[str, str]) -> bool:
    """Tell whether an LV is a disk of this driver."""
    facts = parse(row["lv_tags"])
    return DISK in facts and SNAPSHOT not in facts


def is_scratch(row: Mapping[str, str]) -> bool:
    """Tell whether an LV is the scratch volume of a pod."""
    return SCRATCH in parse(row["lv_tags"])


def is_snapshot(row: Mapping[str, str]) -> bool:
    """Tell whether an LV is a snapshot of this driver, and has been cut."""
    return {SNAPSHOT, TIME} <= parse(row["lv_tags"]).keys()


def is_uncut(row: Mapping[str, str]) -> bool:
    """Tell whether an LV is to become a snapshot of this driver, but has not been cut."""
    facts = parse(row["lv_tags"])
    return SNAPSHOT in facts and TIME not in facts


def read_ahead_arguments(kib: int | None) -> list[str]:
    """Return the arguments of lvcreate and lvchange that set a read-ahead."""
    if kib is None:
        return []
    return ["--readahead", str(kib * 1024 // _SECTOR) if kib else "none"]


def _facts(row: Mapping[str, str]) -> dict[str, str]:
    facts = parse(row["lv_tags"])
    if DISK not in facts:
        raise ProgramFailed(["lvs"], 0, f"LV {row['lv_name']} carries no tag {PREFIX}{DISK}")
    return facts
