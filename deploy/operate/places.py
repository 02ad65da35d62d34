"""Where backups are: in a file here, or in a restic repository."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from csi.errors import InvalidRequest

MOUNTED_AT = "/repository"
"""Where a mover has the folder of its node that is a repository."""

_KINDS = 'a FILE, "s3:https://SERVER/BUCKET" or "node:/FOLDER"'
_OTHERS = re.compile(r"(rest|sftp|swift|b2|azure|gs|rclone|local|http|https|file):")
_SCHEME = re.compile(r"^[a-z0-9]+://")
_CREDENTIALS = re.compile(r"^(?P<scheme>[a-z0-9]+://)?[^/\s]*@")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file on the machine where the command runs."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Repository:
    """A restic repository."""

    url: str
    """As restic in a mover gets it."""
    folder: str = ""
    """The folder of a node that it is; empty for one elsewhere."""

    def __str__(self) -> str:
        return f"node:{self.folder}" if self.folder else self.url


Place = LocalFile | Repository


def parse(text: str) -> Place:
    """Return the place that a user has written; raises InvalidRequest."""
    kind, colon, rest = text.partition(":")
    if colon and kind == "node":
        return Repository(MOUNTED_AT, _folder(rest))
    if colon and kind == "s3":
        if _CREDENTIALS.search(rest):
            shown = _CREDENTIALS.sub(r"\g<scheme>…@", rest)
            raise InvalidRequest(
                f'"s3:{shown}" has a key in it, which others could see: '
                'write "s3:https://SERVER/BUCKET", and the key as AWS_ACCESS_KEY_ID and '
                "AWS_SECRET_ACCESS_KEY"
            )
        if "/" not in _SCHEME.sub("", rest).strip("/"):
            raise InvalidRequest(f'"{text}" names no bucket: write "s3:https://SERVER/BUCKET"')
        return Repository(text)
    if _OTHERS.match(text):
        raise InvalidRequest(f'"{text}" is no place for backups here: write {_KINDS}')
    if text in {"", "-"}:
        raise InvalidRequest(f"backups do not go to standard output: write {_KINDS}")
    return LocalFile(Path(text))


def repository(text: str) -> Repository:
    """Return the repository that a user has written; raises InvalidRequest for a file."""
    place = parse(text)
    if isinstance(place, LocalFile):
        raise InvalidRequest(
            f'"{text}" is a file; this works with a repository: "s3:https://SERVER/BUCKET" or '
            '"node:/FOLDER"'
        )
    return place


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise InvalidRequest(
            f'"node:{text}" names no folder of a node: write its whole path, "node:/srv/backups"'
        )
    return str(path)
