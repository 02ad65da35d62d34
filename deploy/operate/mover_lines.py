"""What a mover says: lines of JSON, the last of which tells how it ended (`deploy.mover.lines`)."""

import json
from dataclasses import dataclass
from typing import Any

from csi.errors import Refused, Unavailable


class Facts(dict[str, Any]):
    """What a mover says of what it has done."""

    def __missing__(self, key: str) -> Any:
        """Raise Unavailable: another version of it may say other things."""
        raise Unavailable(
            f'the mover does not say "{key}": the driver is of another version than this command'
        )


class MoverFailed(Refused):
    """A mover could not do what was asked; the message is its own sentence."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is; sizes are bytes."""

    done: int
    total: int | None
    files: int


@dataclass(frozen=True, slots=True)
class Note:
    """Something that somebody should know."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Result:
    """It has done what was asked."""

    facts: Facts


Line = Progress | Note | Result


def parse(text: str) -> Line | None:
    """Return what a line says, None if nothing; raises MoverFailed when it says that."""
    try:
        said = json.loads(text)
    except ValueError:
        return None
    match said:
        case {
            "progress": {"bytes": int(done), "total": int() | None as total, "files": int(files)}
        }:
            return Progress(done, total, files)
        case {"note": str(sentence)}:
            return Note(sentence)
        case {"result": dict(facts)}:
            return Result(Facts(facts))
        case {"failure": str(sentence)}:
            raise MoverFailed(sentence)
    return None
