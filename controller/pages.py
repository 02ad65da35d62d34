"""Lists in pages that stay right while entries come and go between two calls.

Entries are ordered by a position that follows from the name alone, and a token is the position of
the last entry on its page: whatever was added or deleted since, the next page begins behind it.

CSI limits strings to 128 bytes (spec, "Size Limits"), and so is a name: a token has no room for a
whole name and its encoding. A position is therefore the first bytes of the name and a digest.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from csi.errors import BadToken

Entry = TypeVar("Entry")

_HEAD = 64
_DIGEST = 16


@dataclass(frozen=True, slots=True)
class Page(Generic[Entry]):
    """Some entries of a list, and the token of the page after them: empty for the last one."""

    entries: tuple[Entry, ...]
    next_token: str


def page(
    kind: str,
    entries: Iterable[Entry],
    name_of: Callable[[Entry], str],
    *,
    token: str,
    limit: int,
) -> Page[Entry]:
    """Return the page that follows `token`.

    Args:
        kind: a short word for the list; the token of another list is not valid in this one.
        entries: all of them, in any order.
        name_of: tells entries apart.
        token: of the page before, or empty for the first page.
        limit: the most entries of a page; 0 is no limit.

    Raises:
        BadToken: no list of this kind ever gave such a token (spec, "Invalid starting_token").
    """
    behind = _parse(kind, token) if token else b""
    placed = ((_position(name_of(entry)), entry) for entry in entries)
    rest = sorted((one for one in placed if one[0] > behind), key=lambda one: one[0])
    chosen = rest[:limit] if limit else rest
    more = len(rest) > len(chosen)
    return Page(
        entries=tuple(entry for _, entry in chosen),
        next_token=_format(kind, chosen[-1][0]) if more else "",
    )


def _position(name: str) -> bytes:
    # No name contains a NUL, so a name comes before all those that it begins.
    encoded = name.encode()
    return encoded[:_HEAD] + b"\0" + hashlib.sha256(encoded).digest()[:_DIGEST]


def _format(kind: str, position: bytes) -> str:
    return base64.urlsafe_b64encode(kind.encode() + b"\0" + position).decode()


def _parse(kind: str, token: str) -> bytes:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        text = b""
    begin = kind.encode() + b"\0"
    position = text.removeprefix(begin)
    head, separator = position[: -_DIGEST - 1], position[-_DIGEST - 1 : -_DIGEST]
    if not text.startswith(begin) or not head or separator != b"\0" or len(head) > _HEAD:
        raise BadToken(f'starting_token "{token}" is not from a list of {kind}s; begin anew')
    return position
