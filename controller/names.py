"""Safe names below the pools: for LVs and image files, whatever a user called a disk.

CSI allows any Unicode name of up to 128 bytes without control characters. LVM allows 127
characters of [a-zA-Z0-9+_.-] (lvm(8), "Valid names"), and some of those not in front.
"""

import hashlib
import re

DISK = "disk"
SNAPSHOT = "snap"

_STEM = re.compile(r"(disk|snap)-(?:[a-z0-9-]{1,40}-)?[0-9a-f]{16}")


def stem(kind: str, name: str) -> str:
    """Return the name of the LV or file for a disk or snapshot: readable, unique, always valid."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return "-".join(part for part in (kind, slug, digest) if part)


def is_stem(text: str) -> bool:
    """Tell whether a name can have come from `stem`."""
    return _STEM.fullmatch(text) is not None
