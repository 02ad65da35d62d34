"""What the mover says: a JSON object on each line, the last of which tells how it ended."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import TextIO

_EACH = 1.0
"""Seconds between two lines of progress."""
_MOST_NOTES = 50

Clock = Callable[[], float]


class Lines:
    """Lines for the command that started the mover; any thread may say one."""

    def __init__(self, out: TextIO, clock: Clock = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()
        self._notes = 0

    def progress(self, done: int, total: int | None, files: int) -> None:
        """Say how many bytes and files are done; nothing if it was said less than a second ago."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return
            self._next = now + _EACH
            # What is counted while it goes on may turn out to be more than was expected.
            known = None if total is None else max(total, done)
            self._say({"progress": {"bytes": done, "total": known, "files": files}})

    def note(self, sentence: str) -> None:
        """Say something that is no failure, but that somebody should know."""
        with self._lock:
            self._notes += 1
            if self._notes < _MOST_NOTES:
                self._say({"note": sentence})
            elif self._notes == _MOST_NOTES:
                self._say({"note": "there are more such notes, which are left out here"})

    def result(self, facts: Mapping[str, object]) -> None:
        """Say that all went well."""
        with self._lock:
            self._say({"result": facts})

    def failure(self, sentence: str) -> None:
        """Say that it did not, and what to do."""
        with self._lock:
            self._say({"failure": sentence})

    def _say(self, line: Mapping[str, object]) -> None:
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()
