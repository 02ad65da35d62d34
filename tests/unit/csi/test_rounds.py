"""Work that is done again and again."""

import threading

import pytest

from csi.errors import Unavailable
from csi.rounds import Rounds

LONG = 3600.0


class Work:
    """Counts its rounds; the first ones fail."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = [*failures]
        self.rounds = 0
        self.enough = threading.Event()

    def do(self) -> None:
        self.rounds += 1
        if self._failures:
            raise self._failures.pop(0)
        self.enough.set()


def test_the_first_round_is_at_the_start() -> None:
    work = Work()
    rounds = Rounds("work", work.do, LONG)
    assert work.rounds == 0

    rounds.start()
    rounds.stop()

    assert work.rounds == 1


def test_rounds_go_on_whatever_one_of_them_raises(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(Unavailable("the pool is away"), ValueError("something else"))
    rounds = Rounds("work", work.do, 0.01)

    rounds.start()

    assert work.enough.wait(timeout=30)
    rounds.stop()
    assert "work: not now: the pool is away" in caplog.text
    assert "work: a mistake" in caplog.text
    assert "something else" in caplog.text
    assert work.rounds >= 3
