"""What restic says on standard error, and the sentences that become of it.

Exit statuses: restic's manual, "Exit codes". Messages: those of restic 0.18, and of its S3 library.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from csi.errors import Busy, DiskError, NotFound, PoolFull, ProgramFailed, Refused, Unavailable

Message = dict[str, Any]

INCOMPLETE = 3
"""Exit status of a backup that lacks what could not be read."""
NO_REPOSITORY = 10
_LOCKED = 11
_WRONG_PASSWORD = 12

_RETRY = re.compile(r"(?P<what>.+?) returned error, retrying after [^:]+: (?P<why>.*)")
_SUCCESS = re.compile(r"(?P<what>.+?) operation successful after \d+ retries")


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_FULL = _any_of(
    "no space left on device",
    "disk quota exceeded",
    "QuotaExceeded",
    "StorageFull",
    "InsufficientStorage",
)
_UNREACHABLE = _any_of(
    *("connection refused", "connection reset", "no such host", "i/o timeout", "no route to host"),
    *("unreachable", "server misbehaving", "broken pipe", r"\bEOF\b", "handshake", "certificate"),
    *("deadline exceeded", "server closed", r"\b50[0234]\b"),
)
_NOT_ALLOWED = _any_of(
    *("access ?denied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "forbidden", "unauthorized"),
    *("permission denied", "access key", "signature we calculated", r"\b40[13]\b"),
)
_DAMAGED_PARENT = "not found in the repository index"
"""restic would store the file anew, and end as if the disk could not be read."""
_DAMAGED = _any_of(
    *("ciphertext verification failed", "invalid data returned", "unexpected size", "wrong hash"),
    *(
        "not found in index",
        "file does not exist",
        "no such file",
        "invalid pack",
    ),
    *("not found in repository", "repository contains errors", "unexpected pack"),
    _DAMAGED_PARENT,
)


class DamagedRepository(Refused):
    """The repository does not hold any more what was stored in it."""


class _Ending(Protocol):
    def end(self) -> None: ...


class Complaints:
    """Hears what a restic says, and ends it when it would only go on in vain."""

    def __init__(self, told: Callable[[str], None], patience: float) -> None:
        """Tell `told` why the repository fails to answer, and wait `patience` seconds for it."""
        self._told = told
        self._patience = patience
        self._failing: dict[str, float] = {}
        self._said: list[str] = []
        self._child: _Ending | None = None
        self.ended_by: str | None = None
        """Why restic was ended."""
        self.about_disk = False
        """It was ended because of the disk, not the repository."""

    @property
    def reason(self) -> str:
        """The most telling of what was said."""
        return self.ended_by or "; ".join(self._said[:3]) or "it said nothing"

    def watch(self, child: _Ending) -> None:
        """Take over the child, which may have said something already."""
        self._child = child
        if self.ended_by is not None:
            child.end()

    def heard(self, line: str) -> None:
        """Take a line of its standard error."""
        messages = parsed(line)
        if not messages and line.strip():
            self._plain(line)
        for message in messages:
            if message.get("message_type") == "error":
                self._error(message)
            elif message.get("message_type") == "exit_error":
                self._said.append(str(message.get("message")))

    def _error(self, message: Message) -> None:
        error = message.get("error")
        text = str(error.get("message") if isinstance(error, dict) else message.get("message"))
        self._said.append(text)
        if message.get("during") in {"archival", "restore"}:
            # It would go on, and leave out what fails.
            self.about_disk = not re.search(_DAMAGED_PARENT, text)
            self._end(f"{message.get('item')}: {text}")

    def _plain(self, line: str) -> None:
        if match := _RETRY.fullmatch(line):
            self._retry(match["what"], match["why"])
        elif match := _SUCCESS.fullmatch(line):
            self._failing.pop(match["what"], None)
        else:
            self._said.append(line)

    def _retry(self, what: str, why: str) -> None:
        now = time.monotonic()
        if not self._failing:
            self._told(why)
        since = self._failing.setdefault(what, now)
        hopeless = _FULL.search(why) or _NOT_ALLOWED.search(why)
        if hopeless or now - since > self._patience:
            self._end(why)

    def _end(self, why: str) -> None:
        if self.ended_by is None:
            self.ended_by = why
            if self._child is not None:
                self._child.end()


@dataclass(frozen=True, slots=True)
class Failure:
    """A restic that failed."""

    repository: str
    """Its address, without what nobody may see."""
    command: str
    status: int
    why: str
    """What it said, without what nobody may see."""
    about_disk: bool

    def error(self) -> DiskError:
        """Return what happened, in a sentence that says what to do."""
        where = f"the repository {self.repository}"
        if self.status == NO_REPOSITORY:
            return NotFound(
                f"there is no backup repository at {self.repository}: check the address"
            )
        if self.status == _WRONG_PASSWORD:
            return Refused(f"the password is not that of {where}: check RESTIC_PASSWORD")
        if self.status == _LOCKED:
            return Busy(
                f"{where} is in use: {self.why}; try again when that has ended. What was killed"
                " has it for half an hour"
            )
        return self._of_disk() or self._of_repository(where)

    def _of_disk(self) -> DiskError | None:
        if self.command == "backup" and self.about_disk:
            return Unavailable(
                f"the disk could not be read, so nothing is kept of this backup: {self.why};"
                " see what the node's kernel says of it"
            )
        if self.command == "restore" and _FULL.search(self.why):
            return PoolFull(f"the new disk is too small for what the backup holds: {self.why}")
        return None

    def _of_repository(self, where: str) -> DiskError:
        if _FULL.search(self.why):
            return PoolFull(f"{where} is full: make room there, or prune old backups; {self.why}")
        if _NOT_ALLOWED.search(self.why):
            return Refused(
                f"{where} does not let us in: {self.why}; check its credentials and rights"
            )
        if _UNREACHABLE.search(self.why):
            return Unavailable(
                f"{where} cannot be reached: {self.why}; check its address and the network"
            )
        if _DAMAGED.search(self.why):
            return DamagedRepository(
                f"{where} is damaged: {self.why}; back up to another one, and see what"
                " `restic repair` can save"
            )
        return ProgramFailed(("restic", self.command), self.status, self.why)


def parsed(line: str) -> list[Message]:
    """Return the objects in a line of JSON: one, several or, for any other text, none."""
    try:
        found = json.loads(line)
    except ValueError:
        return []
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict)]
