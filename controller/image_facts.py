"""What an image file says about itself: a disk or a snapshot as JSON in one extended attribute.

Data and facts share one inode, so that no copy, move or crash can part them. The size is not
repeated: it is the file's.
"""

import json
from dataclasses import asdict, fields
from typing import Any

from csi.disk import Content, Disk, Snapshot, Source, SourceKind

ATTRIBUTE = "user.miren"
"""Name of the extended attribute (xattr(7))."""

_KIND = "kind"
_DISK = "disk"
_SNAPSHOT = "snapshot"


def encode(thing: Disk | Snapshot) -> bytes:
    """Return the attribute that describes a disk or a snapshot."""
    kind = _DISK if isinstance(thing, Disk) else _SNAPSHOT
    facts = {key: value for key, value in asdict(thing).items() if key != "size"}
    text = json.dumps({**facts, _KIND: kind}, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def decode_disk(attribute: bytes, size: int) -> Disk | None:
    """Return the disk that an attribute describes; None if it describes none."""
    facts = _facts(attribute, Disk, _DISK)
    try:
        source = facts["source"]
        facts["source"] = Source(SourceKind(source[_KIND]), source["name"]) if source else None
        return Disk(**{**facts, "content": Content(facts["content"]), "size": size})
    except (KeyError, TypeError, ValueError):
        return None


def decode_snapshot(attribute: bytes, size: int) -> Snapshot | None:
    """Return the snapshot that an attribute describes; None if it describes none."""
    facts = _facts(attribute, Snapshot, _SNAPSHOT)
    try:
        return Snapshot(**{**facts, "content": Content(facts["content"]), "size": size})
    except (KeyError, TypeError, ValueError):
        return None


def _facts(attribute: bytes, of: type[Disk] | type[Snapshot], kind: str) -> dict[str, Any]:
    try:
        facts = json.loads(attribute)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict) or facts.get(_KIND) != kind:
        return {}
    if not isinstance(facts.get("name"), str):
        return {}
    # A later version may have written facts that this one does not know.
    known = {field.name for field in fields(of)}
    return {key: value for key, value in facts.items() if key in known}
