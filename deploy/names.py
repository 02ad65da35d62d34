"""Names: which ones Miren allows, and what they become where Kubernetes' rules differ.

Kubernetes' rules are RFC 1123 labels for objects, and label values of up to 63 characters:
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

import hashlib
import re
import unicodedata

from csi import local_id

# CSI allows 128 bytes for a volume's id (spec, "Size Limits"), which a disk's name becomes.
LONGEST_HANDLE = 128
# Names of apps and services become DNS labels.
LONGEST_LABEL = 63
# What is left of a handle for a local disk's name, however long its app's name is.
LONGEST_LOCAL_NAME = LONGEST_HANDLE - LONGEST_LABEL - len(f"{local_id.PREFIX}/")

_MIREN_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HASH_DIGITS = 8
_LOOKS_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_DIGITS}}}$")


def miren_name_mistake(name: str, longest: int) -> str | None:
    """Say what is wrong with the name of an app, a service or a disk; None where it is right."""
    if len(name) > longest:
        return f"has {len(name)} characters, the limit is {longest}"
    if not _MIREN_NAME.fullmatch(name):
        return "may have only letters, digits and hyphens, and no hyphen first or last"
    return None


def nearest_miren_name(name: str, longest: int) -> str | None:
    """Return an allowed name that looks like this one, None where nothing is left of it."""
    without_accents = "".join(
        c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)
    )
    return re.sub(r"[^A-Za-z0-9]+", "-", without_accents).strip("-")[:longest].rstrip("-") or None


def object_name(name: str) -> str:
    """Return the name of the Kubernetes objects of the disk with this name.

    The name itself where it is a valid object name, else a readable part of it and eight digits
    of its SHA-256. A name that already ends like a hash gets another one, so that no two disks
    share an object name unless their hashes collide.
    """
    if is_dns_label(name) and not _LOOKS_HASHED.search(name):
        return name
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    readable = readable[: LONGEST_LABEL - _HASH_DIGITS - 1].rstrip("-")
    return f"{readable or 'disk'}-{digits}"


def is_dns_label(text: str) -> bool:
    """Whether the text may name a namespace or a disk's objects."""
    return _DNS_LABEL.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    """Whether the text may be a label's value and says something."""
    return _LABEL_VALUE.fullmatch(text) is not None
