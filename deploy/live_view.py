"""What a deployment is doing, line by line; on a terminal the lines change in place."""

import os
import sys
from collections.abc import Mapping

from deploy.colours import is_dumb

_CLEAR_LINE = "\x1b[2K"
_UP = "\x1b[{}A"
_WIDEST = 160


class LiveView:
    """Shows for each of several things what it is doing."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty() and not is_dumb(os.environ)
        self._shown: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._shown = {}
        self._print(text)

    def show(self, doing: Mapping[str, str]) -> None:
        """Show what all of them are doing now, if that has changed."""
        if doing == self._shown:
            return
        width = max(map(len, doing), default=0)
        if self._terminal and self._shown:
            sys.stderr.write(_UP.format(len(self._shown)))
        for name, what in doing.items():
            if self._terminal or self._shown.get(name) != what:
                self._print(f"  {name:{width}}  {what}")
        self._shown = dict(doing)

    def _print(self, line: str) -> None:
        # A line that wraps would not be overwritten as one.
        cut = line if len(line) <= _WIDEST or not self._terminal else f"{line[: _WIDEST - 1]}…"
        sys.stderr.write(f"{_CLEAR_LINE if self._terminal else ''}{cut}\n")
        sys.stderr.flush()
