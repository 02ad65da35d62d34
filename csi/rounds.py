"""Work that is done again and again, in a thread of its own."""

import logging
import threading
from collections.abc import Callable

from csi.errors import DiskError

log = logging.getLogger(__name__)


class Rounds:
    """Does something at the start, and after each pause, until it is stopped."""

    def __init__(self, name: str, work: Callable[[], None], every: float) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            name: the thread's, and the work's in the log.
            work: is done anew in the next round when it raises.
            every: seconds between two rounds.
        """
        self._name = name
        self._work = work
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except DiskError as error:
                log.warning("%s: not now: %s", self._name, error)
            except Exception:
                log.exception("%s: a mistake", self._name)
            if self._stop.wait(self._every):
                return
