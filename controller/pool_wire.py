"""How the verbs of a pool travel from the controller to a node: JSON in gRPC messages.

An answer is one `Answer`; a stream of extents is several of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from csi import errors
from csi.disk import Disk, Extent, NewSnapshot, PoolUsage, Snapshot
from csi.errors import DiskError

SERVICE = "miren.csi.Pool"
LONGEST = 64 << 20
"""Bytes of a message: a list of some hundred thousand disks."""
BATCH = 4096
"""Extents in a message."""


@dataclass(frozen=True, slots=True)
class Verb:
    """The types of a verb's arguments and of its result."""

    arguments: Any
    result: Any
    is_stream: bool = False


VERBS: Mapping[str, Verb] = {
    "check": Verb(tuple[()], None),
    "create": Verb(tuple[Disk], Disk),
    "get": Verb(tuple[str], Disk),
    "disks": Verb(tuple[()], list[Disk]),
    "delete": Verb(tuple[str], None),
    "expand": Verb(tuple[str, int], Disk),
    "set_read_ahead": Verb(tuple[str, int], None),
    "has_lost_filesystem": Verb(tuple[str], bool),
    "usage": Verb(tuple[()], PoolUsage),
    "create_snapshots": Verb(tuple[list[NewSnapshot]], list[Snapshot]),
    "get_snapshot": Verb(tuple[str], Snapshot),
    "snapshots": Verb(tuple[()], list[Snapshot]),
    "delete_snapshots": Verb(tuple[list[str]], None),
    "allocated": Verb(tuple[Snapshot], list[Extent], is_stream=True),
    "changed": Verb(tuple[Snapshot, Snapshot], list[Extent], is_stream=True),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, or the name of an error's class and its sentence."""

    result: Any = None
    error: str = ""
    message: str = ""


def failed(error: DiskError) -> bytes:
    """Return the answer of a verb that raised an error."""
    return encode(Answer(error=type(error).__name__, message=str(error)))


def encode(value: Any) -> bytes:
    """Return a message."""
    return msgspec.json.encode(value)


def arguments(verb: str, data: bytes) -> tuple[Any, ...]:
    """Return a verb's arguments from its message; raises ValueError."""
    found: tuple[Any, ...] = msgspec.json.decode(data, type=VERBS[verb].arguments)
    return found


def result(verb: str, data: bytes) -> Any:
    """Return a verb's result from its answer; raises the DiskError in it, or ValueError."""
    answer = msgspec.json.decode(data, type=Answer)
    if answer.error:
        raise _error(answer)
    return msgspec.convert(answer.result, VERBS[verb].result)


def _error(answer: Answer) -> DiskError:
    kind = getattr(errors, answer.error, DiskError)
    if not (isinstance(kind, type) and issubclass(kind, DiskError)):
        kind = DiskError
    # Some make their sentence from what only the other side knows.
    error: DiskError = kind.__new__(kind, answer.message)
    return error
