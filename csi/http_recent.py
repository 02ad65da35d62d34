"""Answers to questions that may take long, for askers who come often and cannot wait."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The answer to one question, asked by one thread at a time and kept for a moment.

    However many ask, and however long LVM or an API server is silent, never more than one thread
    waits for it.
    """

    def __init__(self, ask: Callable[[], T], *, age: float, patience: float) -> None:
        """Prepare to ask; nothing is asked before somebody wants to know.

        Args:
            ask: finds the answer out; what it raises is an answer too.
            age: seconds for which an answer is good.
            patience: seconds that an asker waits for it.
        """
        self._ask = ask
        self._age = age
        self._patience = patience
        self._lock = threading.Lock()
        self._answer: Future[T] | None = None
        self._answered = 0.0

    def get(self) -> T:
        """Return the answer or raise what `ask` raised; TimeoutError when it takes too long."""
        answer = self._current()
        if not wait([answer], self._patience).done:
            raise TimeoutError(f"no answer within {self._patience:g} s")
        return answer.result()

    def _current(self) -> Future[T]:
        with self._lock:
            if self._answer is None or self._is_old(self._answer):
                self._answer = Future()
                # A daemon: a question that is never answered must not keep the driver from ending.
                threading.Thread(target=self._find_out, args=(self._answer,), daemon=True).start()
            return self._answer

    def _is_old(self, answer: Future[T]) -> bool:
        return answer.done() and time.monotonic() - self._answered > self._age

    def _find_out(self, answer: Future[T]) -> None:
        try:
            found = self._ask()
        except BaseException as error:  # noqa: BLE001 - for those who wait, not for this thread
            self._answered = time.monotonic()
            answer.set_exception(error)
        else:
            self._answered = time.monotonic()
            answer.set_result(found)
