"""Runs restic on the repository that the environment names."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from csi.errors import InvalidRequest
from deploy.mover.children import Child
from deploy.mover.complaints import Complaints, Failure, Message, parsed

Heard = Callable[[Message], None]

FIRST_ANSWER = 60.0
"""Seconds for a repository's first answer: that its address is wrong shall show soon."""

_PATIENCE = "MIREN_MOVER_PATIENCE"
"""Seconds for which a repository that does not answer is asked again."""
_USUAL_PATIENCE = 300.0
_RETRY_LOCK = "10m"
_LONGEST = 400

_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$")
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_HIDDEN = "://…@"


def _ignore(_message: Message) -> None:
    """For those who need no messages."""


class Restic:
    """restic, and the repository."""

    def __init__(self, environ: Mapping[str, str], cache: str, note: Callable[[str], None]) -> None:
        self._patience = float(environ.get(_PATIENCE, _USUAL_PATIENCE))
        self._secrets = _secrets(environ)
        self._note = note
        self.repository = _CREDENTIALS.sub(_HIDDEN, environ["RESTIC_REPOSITORY"])
        """Its address, without what nobody may see."""
        own = {
            "RESTIC_CACHE_DIR": cache,
            "RESTIC_PROGRESS_FPS": "1",
            # Apps run on this node too.
            "GOMAXPROCS": "2",
        }
        given = {name: environ[name] for name in own if environ.get(name)}
        # Times are given, and wanted, in UTC.
        self._environ = {**own, **given, "TZ": "UTC"}

    def run(
        self,
        *words: str,
        heard: Heard = _ignore,
        accept: tuple[int, ...] = (0,),
        patience: float = _USUAL_PATIENCE,
        folder: Path | None = None,
    ) -> int:
        """Run restic to its end, and return its exit status.

        Args:
            words: the command and its arguments. None may be a secret.
            heard: is told, in this thread, each message on its standard output.
            accept: exit statuses that are no failure.
            patience: seconds for which the repository may fail to answer.
            folder: where it runs: names that are relative have their beginning there.

        Raises DiskError with a sentence about the repository.
        """
        with self.started(*words, patience=patience, folder=folder) as running:
            with os.fdopen(os.dup(running.child.output.fileno()), errors="replace") as output:
                for line in output:
                    for message in parsed(line):
                        heard(message)
            return running.finish(accept)

    @contextmanager
    def started(
        self, *words: str, patience: float = _USUAL_PATIENCE, folder: Path | None = None
    ) -> Iterator["Running"]:
        """Start restic, for those who read its output, and then call `finish`."""
        complaints = Complaints(self._told, min(patience, self._patience))
        argv = ("restic", "--json", f"--retry-lock={_RETRY_LOCK}", *words)
        environ = self._environ
        with Child(argv, heard=complaints.heard, environ=environ, folder=folder) as child:
            complaints.watch(child)
            yield Running(self, words[0], child, complaints)

    def _told(self, why: str) -> None:
        self._note(f"{self.repository} does not answer, and is asked again: {self.clean(why)}")

    def clean(self, text: str) -> str:
        """Return a text as one line that holds no secret."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        line = _CREDENTIALS.sub(_HIDDEN, " ".join(text.split()))
        return line if len(line) < _LONGEST else line[:_LONGEST] + " …"


class Running:
    """A restic that runs."""

    def __init__(self, restic: Restic, command: str, child: Child, complaints: Complaints) -> None:
        self._restic = restic
        self._command = command
        self._complaints = complaints
        self.child = child

    def finish(self, accept: tuple[int, ...] = (0,)) -> int:
        """Wait for its end, when all its output is read; raises DiskError if it failed."""
        status = self.child.wait()
        complaints = self._complaints
        if complaints.ended_by is None and status in accept:
            return status
        why = self._restic.clean(complaints.reason)
        about_disk = complaints.about_disk
        raise Failure(self._restic.repository, self._command, status, why, about_disk).error()


@contextmanager
def opened(environ: Mapping[str, str], note: Callable[[str], None]) -> Iterator[Restic]:
    """Yield restic on the environment's repository, with a cache that is removed again.

    Raises InvalidRequest when the environment names none.
    """
    for name in ("RESTIC_REPOSITORY", "RESTIC_PASSWORD"):
        if not environ.get(name):
            raise InvalidRequest(f"{name} is not set: the secret of the repository must have it")
    with tempfile.TemporaryDirectory(prefix="miren-mover-", ignore_cleanup_errors=True) as cache:
        yield Restic(environ, cache, note)


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Return what must not be seen, the longest first."""
    named = (value for name, value in environ.items() if _SECRET_NAME.search(name))
    return sorted({value for value in named if len(value) > 3}, key=len, reverse=True)
