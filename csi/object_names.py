"""The names of the Kubernetes objects of a disk: its PV, its PVC, its Lease.

Kubernetes' rules are RFC 1123 labels:
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

import hashlib
import re

from csi import DRIVER_NAME

LONGEST_LABEL = 63

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HASH_DIGITS = 8
_LOOKS_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_DIGITS}}}$")
# In the names of the Leases by which the sidecars elect a leader.
_TAKEN = DRIVER_NAME.replace(".", "-")


def object_name(name: str) -> str:
    """Return the name of the Kubernetes objects of the disk with this name.

    The name itself where it is a valid object name, else a readable part of it and eight digits
    of its SHA-256. A name that already ends like a hash gets another one, so that no two disks
    share an object name unless their hashes collide; so does one with the driver's name in it.
    """
    if is_dns_label(name) and not _LOOKS_HASHED.search(name) and _TAKEN not in name:
        return name
    return hashed_name(name, of=name)


def hashed_name(text: str, *, of: str) -> str:
    """Return a readable part of `text` and eight digits of a SHA-256: a valid object name."""
    digits = hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    readable = readable[: LONGEST_LABEL - _HASH_DIGITS - 1].rstrip("-")
    return f"{readable or 'disk'}-{digits}"


def is_dns_label(text: str) -> bool:
    """Whether the text may name a namespace or a disk's objects."""
    return _DNS_LABEL.fullmatch(text) is not None
