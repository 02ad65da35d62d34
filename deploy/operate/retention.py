"""How many of a disk's backups are kept."""

import argparse

from csi.errors import InvalidRequest

PERIODS = ("last", "daily", "weekly", "monthly")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let a command say how many are kept."""
    for period in PERIODS:
        what = "the newest N" if period == "last" else f"one of each of the last N {_spans(period)}"
        parser.add_argument(f"--keep-{period}", metavar="N", type=_count, help=f"keep {what}")


def words(arguments: argparse.Namespace) -> list[str]:
    """Return the mover's words, and this command's own; none if nothing is said."""
    found: list[str] = []
    for period in PERIODS:
        number = getattr(arguments, f"keep_{period}")
        if number:
            found += [f"--keep-{period}", str(number)]
    return found


def required(arguments: argparse.Namespace) -> list[str]:
    """Return the same; raises InvalidRequest if nothing is said."""
    found = words(arguments)
    if not found:
        options = ", ".join(f"--keep-{period}" for period in PERIODS)
        raise InvalidRequest(f"say how many backups are kept with {options}")
    return found


def counted(number: int) -> str:
    """Return so many backups as words."""
    return "1 backup" if number == 1 else f"{number} backups"


def _spans(period: str) -> str:
    return {"daily": "days", "weekly": "weeks", "monthly": "months"}[period]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 100_000):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of backups')
    return int(text)
