"""Names: which ones Miren allows, and which texts Kubernetes takes as label values.

Label values have up to 63 characters:
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

import re
import unicodedata

from csi import local_id
from csi.object_names import LONGEST_LABEL

# CSI allows 128 bytes for a volume's id (spec, "Size Limits"), which a disk's name becomes.
LONGEST_HANDLE = 128
# What is left of a handle for a local disk's name, however long its app's name is.
LONGEST_LOCAL_NAME = LONGEST_HANDLE - LONGEST_LABEL - len(f"{local_id.PREFIX}/")

_MIREN_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


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


def is_label_key(text: str) -> bool:
    """Whether the text may be a label's key: `NAME` or `PREFIX/NAME`, the prefix a DNS name."""
    prefix, slash, name = text.rpartition("/")
    return is_label_value(name) and (not slash or _LABEL_PREFIX.fullmatch(prefix) is not None)


def is_label_value(text: str) -> bool:
    """Whether the text may be a label's value and says something."""
    return _LABEL_VALUE.fullmatch(text) is not None
