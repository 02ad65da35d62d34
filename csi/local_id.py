"""The volume ids of local disks: `local/<app>/<name>`, told apart from all disks in a pool."""

import re
from dataclasses import dataclass

from csi.errors import InvalidRequest

PREFIX = "local/"

_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class LocalId:
    """A local disk: a folder of its own for each app and name."""

    app: str
    name: str

    def __str__(self) -> str:
        """Return the volume id."""
        return f"{PREFIX}{self.app}/{self.name}"


def is_local(volume_id: str) -> bool:
    """Whether a volume id is that of a local disk; no disk in a pool may be called so."""
    return volume_id.startswith(PREFIX)


def parse(volume_id: str) -> LocalId:
    """Return the app and the name in the volume id of a local disk.

    Both become folders, so they have to be names as Miren allows them: letters, digits, hyphens.

    Raises:
        InvalidRequest: the id has another form; the sentence says which.
    """
    parts = volume_id.removeprefix(PREFIX).split("/")
    if is_local(volume_id) and len(parts) == 2 and all(map(_PART.fullmatch, parts)):
        return LocalId(*parts)
    raise InvalidRequest(
        f'"{volume_id}" is not the id of a local disk: write {PREFIX}<app>/<name>, '
        "both of letters, digits and hyphens"
    )
