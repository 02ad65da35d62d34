"""Durations as Go writes them ("5m", "1h30m", "1.5s"), which app.toml and Kubernetes share.

The syntax is that of Go's time.ParseDuration: decimal numbers, each followed by a unit.
Only durations above zero are accepted, because here they all are times to wait.
"""

import math
import re

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,  # the micro sign
    "\u03bcs": 10**3,  # the Greek letter: Go takes both
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_UNITS = "ns, us, ms, s, m, h"
_PART = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_LONGEST_TEXT = 100
# Go holds a duration in a signed 64-bit count of nanoseconds.
_LONGEST = 2**63 - 1


def parse_duration(text: str) -> float:
    """Return the seconds that a Go duration such as "1h30m" stands for.

    Digits below a nanosecond are dropped, as Go does.

    Raises:
        ValueError: the text is no Go duration, is not above zero, or is longer than Go can hold
            (about 292 years); the message says what to write.
    """
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"a duration of {len(text)} characters is too long to be meant")
    shown = f'"{text}"' if text.isprintable() else ascii(text)
    rest = text.removeprefix("+")
    if not rest:
        raise ValueError(f'{shown} is empty: write a duration such as "90s", "5m" or "1h30m"')
    if rest.startswith("-"):
        raise ValueError(f'{shown} is negative: write a duration above zero, such as "5m"')
    # Go takes a lone zero without a unit; that it is zero says more than that a unit is missing.
    nanoseconds = 0 if rest == "0" else _sum_of_parts(rest, shown)
    if nanoseconds == 0:
        raise ValueError(f'{shown} is zero: write a duration above zero, such as "5m"')
    if nanoseconds > _LONGEST:
        raise ValueError(f"{shown} is longer than the longest duration, 2562047h47m16s")
    return nanoseconds / 10**9


def _sum_of_parts(rest: str, shown: str) -> int:
    total = 0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise ValueError(
                f"{shown} is not a duration: write numbers with units ({_UNITS}), "
                'such as "90s", "5m" or "1h30m"'
            )
        whole, fraction, unit = part[1], part[2] or "", part[3]
        number = part[0].removesuffix(unit)
        if not unit:
            raise ValueError(f'{shown} lacks a unit after {number}: write "{rest}s" or "{rest}m"')
        if unit not in _NANOSECONDS:
            known = f"the units are {_UNITS}"
            raise ValueError(f'{shown} has an unknown unit after {number}: {known}, as in "1h30m"')
        total += int(whole + fraction) * _NANOSECONDS[unit] // 10 ** len(fraction)
        position = part.end()
    return total


def format_duration(seconds: float) -> str:
    """Return the shortest Go duration of that many seconds: 300 is "5m", 90 is "1m30s".

    Rounded to the nanosecond, so that parse_duration gives back what it gave before.

    Raises:
        ValueError: not a number, below half a nanosecond, or longer than Go can hold.
    """
    if not math.isfinite(seconds) or seconds > _LONGEST / 10**9:
        raise ValueError(f"{seconds} seconds cannot be written as a duration")
    numerator, denominator = float(seconds).as_integer_ratio()
    rounded = (2 * numerator * 10**9 + denominator) // (2 * denominator)
    # The limit's quotient above is itself rounded, hence the minimum.
    nanoseconds = min(rounded, _LONGEST)
    if nanoseconds < 1:
        raise ValueError(f"{seconds} seconds is not above zero")
    if nanoseconds < _NANOSECONDS["s"]:
        unit = next(u for u in ("ms", "us", "ns") if nanoseconds >= _NANOSECONDS[u])
        return _decimal(nanoseconds, _NANOSECONDS[unit]) + unit
    hours, below = divmod(nanoseconds, _NANOSECONDS["h"])
    minutes, below = divmod(below, _NANOSECONDS["m"])
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    parts.append(_decimal(below, _NANOSECONDS["s"]) + "s" if below else "")
    return "".join(parts)


def _decimal(amount: int, unit: int) -> str:
    whole, below = divmod(amount, unit)
    fraction = str(below).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)
