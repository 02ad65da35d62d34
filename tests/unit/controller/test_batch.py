"""Concurrent wishes become one command; each caller hears what became of its own."""

import threading
from collections.abc import Sequence

import pytest

from controller.batch import Batch


class Remover:
    """Removes things slowly, as told; remembers each command."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.started = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, items: Sequence[str]) -> dict[str, BaseException]:
        self.commands.append(sorted(items))
        self.started.set()
        assert self.go_on.wait(10)
        return {item: LookupError(item) for item in items if item.startswith("missing")}


def start(batch: Batch, items: Sequence[str]) -> tuple[list[threading.Thread], dict[str, object]]:
    heard: dict[str, object] = {}

    def ask(item: str) -> None:
        try:
            batch.do(item)
            heard[item] = "done"
        except LookupError as error:
            heard[item] = error

    threads = [threading.Thread(target=ask, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    return threads, heard


def test_what_comes_during_a_command_goes_into_the_next_one() -> None:
    remover = Remover()
    batch = Batch(remover)
    first, _ = start(batch, ["a"])
    assert remover.started.wait(10)
    later, heard = start(batch, ["b", "c", "missing-d"])
    while batch.waiting < 3:
        pass
    remover.go_on.set()
    for thread in first + later:
        thread.join(10)
    assert remover.commands == [["a"], ["b", "c", "missing-d"]]
    assert heard["b"] == heard["c"] == "done"
    assert isinstance(heard["missing-d"], LookupError)


def test_a_lone_caller_waits_for_nobody() -> None:
    remover = Remover()
    remover.go_on.set()
    Batch(remover).do("a")
    assert remover.commands == [["a"]]


def test_a_command_that_breaks_is_heard_by_all_and_the_next_one_works() -> None:
    broken = True

    def work(items: Sequence[str]) -> dict[str, BaseException]:
        if broken:
            raise OSError(f"no LVM for {items}")
        return {}

    batch = Batch(work)
    with pytest.raises(OSError, match="no LVM"):
        batch.do("a")
    broken = False
    batch.do("a")
