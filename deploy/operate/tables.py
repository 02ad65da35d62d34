"""What the reading commands print: tables for people, documents for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from controller.capacity import human
from deploy import colours

NOTHING = "-"


_STATES = {"STATE", "STATUS"}
"""The columns whose words are coloured, on a terminal."""


class Table:
    """Aligned columns, to which rows may be added later; what is empty is a dash."""

    def __init__(self, head: Sequence[str]) -> None:
        self._head = head
        self._widths = [0] * len(head)

    def show(self, rows: Sequence[Sequence[str]], *, with_head: bool = True) -> str:
        """Return rows, as wide as they and all before them need it."""
        cells = [[cell or NOTHING for cell in row] for row in rows]
        if with_head:
            cells.insert(0, [*self._head])
        for row in cells:
            self._widths = [*map(max, self._widths, map(len, row))]
        return "".join(f"{self._line(row)}\n" for row in cells)

    def _line(self, row: Sequence[str]) -> str:
        columns = zip(self._head, row, self._widths, strict=True)
        return "   ".join(
            (colours.painted(cell) if column in _STATES else cell) + " " * (width - len(cell))
            for column, cell, width in columns
        ).rstrip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that is complete."""
    return Table(head).show(rows)


def short(size: int) -> str:
    """Return a number of bytes as kubectl writes it, in one word: 512, 3.5Gi."""
    number, unit = human(size).split()
    return number if unit == "bytes" else f"{number}{unit.removesuffix('B')}"


def document(items: Sequence[Mapping[str, Any]] | Mapping[str, Any], form: str) -> str:
    """Return JSON or YAML."""
    if form == "json":
        return json.dumps(items, indent=2, ensure_ascii=False) + "\n"
    return str(yaml.safe_dump(items, sort_keys=False, allow_unicode=True))


def age(since: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, as kubectl writes it: 5s, 12m, 3h, 7d."""
    return span(((now or datetime.now(UTC)) - since).total_seconds())


def span(lasts: float) -> str:
    """Return a number of seconds as `age` writes it."""
    seconds = max(0, int(lasts))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
