"""What the reading commands print: tables for people, documents for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from controller.capacity import human

NOTHING = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; what is empty is a dash."""
    cells = [head, *([cell or NOTHING for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = (
        "   ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


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
    seconds = max(0, int(((now or datetime.now(UTC)) - since).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
