"""How far something is that moves bytes: a bar on a terminal, and nothing elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from controller.capacity import human

_CLEAR_LINE = "\r\x1b[2K"
_EVERY = 0.2
_WIDTH = 24
_RECENT = 15.0
"""Seconds over which the rate is taken."""


class ProgressBar:
    """Shows progress on standard error."""

    def __init__(
        self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: out: where it is shown; clock: seconds."""
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._clock = clock
        self._began = clock()
        self._last = self._began
        self._shown = False
        self._seen: list[tuple[float, int]] = [(self._began, 0)]

    def show(self, done: int, total: int | None = None, files: int = 0) -> None:
        """Say how many bytes are done, of how many if that is known, and how many files."""
        if not self._terminal:
            return
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _RECENT:
            del self._seen[0]
        if self._shown and now - self._last < _EVERY:
            return
        self._last = now
        self._out.write(f"{_CLEAR_LINE}{describe(done, total, files, self._rate())}")
        self._out.flush()
        self._shown = True

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._out.write(_CLEAR_LINE)
            self._out.flush()
        self._shown = False

    @property
    def seconds(self) -> float:
        """For how long it has been there."""
        return self._clock() - self._began

    def _rate(self) -> float:
        (began, before), (now, done) = self._seen[0], self._seen[-1]
        return max(0, done - before) / (now - began) if now > began else 0.0


def describe(done: int, total: int | None, files: int, rate: float) -> str:
    """Return a line of progress; `rate` is bytes for each second."""
    parts = [human(done) if total is None else f"{human(done)} of {human(total)}"]
    if total:
        share = min(1.0, done / total)
        filled = int(share * _WIDTH)
        parts.append(f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {int(share * 100):3}%")
    if rate:
        parts.append(f"{human(int(rate))}/s")
        if total and done < total:
            parts.append(f"{duration((total - done) / rate)} left")
    if files:
        parts.append(f"{files} files")
    return "  " + "  ".join(parts)


def duration(seconds: float) -> str:
    """Return a time in two units at most: 7s, 3m 20s, 2h 5m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    return f"{minutes // 60}h {minutes % 60}m"
