"""Slow questions: one at a time, answers kept for a moment, nobody waits for long."""

import threading

import pytest

from csi.http_recent import Recent


class Question:
    """Is answered when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = threading.Event()

    def __call__(self) -> int:
        self.asked += 1
        assert self.answer.wait(10)
        return self.asked


def test_an_answer_is_kept_for_a_moment() -> None:
    question = Question()
    question.answer.set()
    kept, asked_anew = Recent(question, age=60, patience=10), Recent(question, age=-1, patience=10)

    assert [kept.get(), kept.get(), kept.get()] == [1, 1, 1]
    assert [asked_anew.get(), asked_anew.get()] == [2, 3]


def test_nobody_waits_for_long_and_nobody_asks_twice() -> None:
    question = Question()
    recent = Recent(question, age=60, patience=0.01)

    for _ in range(5):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
            recent.get()

    assert question.asked == 1
    question.answer.set()
    assert Recent(recent.get, age=60, patience=10).get() == 1  # it is answered in the end


def test_an_error_is_an_answer_and_is_asked_again_later() -> None:
    def fail() -> int:
        raise ZeroDivisionError("oops")

    recent = Recent(fail, age=-1, patience=10)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="oops"):
            recent.get()


def test_a_timeout_of_what_is_asked_is_its_answer() -> None:
    def fail() -> int:
        raise TimeoutError("the disk is slow")

    with pytest.raises(TimeoutError, match="the disk is slow"):
        Recent(fail, age=60, patience=10).get()
