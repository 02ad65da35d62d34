"""Merges what many callers want at the same moment into one command."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Wish:
    item: str
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Batch:
    """Hands the items of concurrent callers to one function, as one list.

    While a list is being worked on, new callers queue up; the next list has all of them. A caller
    on its own waits for nobody.
    """

    def __init__(self, work: Callable[[Sequence[str]], dict[str, BaseException]]) -> None:
        """Args: work: does all items of a list and returns the errors of those that failed."""
        self._work = work
        self._queue: list[_Wish] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many callers wait for the next list."""
        return len(self._queue)

    def do(self, item: str) -> None:
        """Have `item` done with whatever else is queued; raises what went wrong with it."""
        wish = _Wish(item)
        with self._guard:
            self._queue.append(wish)
        with self._turn:
            if not wish.done.is_set():
                self._run()
        if wish.error is not None:
            raise wish.error

    def _run(self) -> None:
        with self._guard:
            wishes, self._queue = self._queue, []
        try:
            errors = self._work(list(dict.fromkeys(wish.item for wish in wishes)))
        except BaseException as error:
            errors = {wish.item: error for wish in wishes}
            raise
        finally:
            for wish in wishes:
                wish.error = errors.get(wish.item)
                wish.done.set()
