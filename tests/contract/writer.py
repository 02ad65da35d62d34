"""A database of the simplest kind: appends numbers to files and knows which ones are safe."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LINE = 16
"""Bytes of one number."""


class Writer:
    """Writes 0, 1, 2, … to every one of its files in turn, each number durably before the next."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.acknowledged = 0
        """How many numbers are durable in all files."""
        self._stop = threading.Event()
        self._progress = threading.Condition()

    def run(self) -> None:
        descriptors = [os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for file in self.files]
        while not self._stop.is_set():
            for fd in descriptors:
                os.write(fd, b"%*d\n" % (LINE - 1, self.acknowledged))
                os.fdatasync(fd)
            with self._progress:
                self.acknowledged += 1
                self._progress.notify_all()
        for fd in descriptors:
            os.close(fd)

    def wait_for_more(self, lines: int) -> None:
        """Wait until that many more numbers are durable: nothing holds the writer up any more."""
        with self._progress:
            goal = self.acknowledged + lines
            assert self._progress.wait_for(lambda: self.acknowledged >= goal, timeout=30)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def writing(*files: Path) -> Iterator[Writer]:
    """A writer that is at work while inside."""
    writer = Writer(files)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        writer.wait_for_more(10)
        yield writer
    finally:
        writer.stop()
        thread.join()


def count(file: Path) -> int:
    """How many numbers a file has; fails unless they are 0, 1, 2, … and none is torn."""
    content = file.read_bytes()
    numbers = [int(line) for line in content.splitlines()]
    assert numbers == list(range(len(numbers)))
    assert len(content) == LINE * len(numbers)
    return len(numbers)
