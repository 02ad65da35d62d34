"""What a deployment would change, as a diff of objects as people read them."""

import difflib
import hashlib
import secrets
from collections.abc import Iterator

from csi.kubernetes_api import Object
from deploy.output import to_yaml

_NOISE = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
)
# Of this run alone: else a short password could be found by trying.
_SALT = secrets.token_bytes(16)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def difference(before: Object | None, after: Object | None) -> Iterator[str]:
    """Yield the lines of a unified diff, none when nothing that matters differs."""
    known = after or before
    if known is None:
        return
    name = f"{known['kind']} {known['metadata']['name']}"
    old = _lines(before) if before else []
    new = _lines(after) if after else []
    yield from difflib.unified_diff(old, new, name, name if after else "(removed)", lineterm="")


def _lines(found: Object) -> list[str]:
    shown = {key: value for key, value in found.items() if key != "status"}
    metadata = {k: v for k, v in found["metadata"].items() if k not in _NOISE}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != _LAST_APPLIED}
    shown["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
    if shown["kind"] == "Secret":
        shown["data"] = {key: _masked(value) for key, value in (shown.get("data") or {}).items()}
    return to_yaml([shown]).splitlines()


def _masked(value: str) -> str:
    """Return what is another text for another value, and tells nothing of it."""
    return f"(hidden, {hashlib.sha256(_SALT + value.encode()).hexdigest()[:8]})"
