"""Durations: what Go's time.ParseDuration reads is read alike, all else is refused helpfully."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csi.duration import format_duration, parse_duration

LONGEST_NANOSECONDS = 2**63 - 1
THE_UNITS = 'the units are ns, us, ms, s, m, h, as in "1h30m"'
NOT_A_DURATION = (
    "is not a duration: write numbers with units (ns, us, ms, s, m, h), "
    'such as "90s", "5m" or "1h30m"'
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("90s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("+5m", 300),
        (".5s", 0.5),
        ("5.s", 5),
        ("1m1m", 120),
        ("30s1h", 3630),
        ("0h1s", 1),
        ("1us", 1e-6),
        ("1\u00b5s", 1e-6),
        ("1\u03bcs", 1e-6),
        ("1ns", 1e-9),
        ("1.9ns", 1e-9),
        ("2562047h47m16.854775807s", LONGEST_NANOSECONDS / 10**9),
    ],
)
def test_a_go_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", '"" is empty: write a duration such as "90s", "5m" or "1h30m"'),
        ("+", '"+" is empty: write a duration such as "90s", "5m" or "1h30m"'),
        ("0", '"0" is zero: write a duration above zero, such as "5m"'),
        ("0s", '"0s" is zero: write a duration above zero, such as "5m"'),
        ("0.1ns", '"0.1ns" is zero: write a duration above zero, such as "5m"'),
        ("-5m", '"-5m" is negative: write a duration above zero, such as "5m"'),
        ("300", '"300" lacks a unit after 300: write "300s" or "300m"'),
        ("1h30", '"1h30" lacks a unit after 30: write "1h30s" or "1h30m"'),
        ("1d", f'"1d" has an unknown unit after 1: {THE_UNITS}'),
        ("5m ", f'"5m " has an unknown unit after 5: {THE_UNITS}'),
        ("5\x1b[2J", f"'5\\x1b[2J' has an unknown unit after 5: {THE_UNITS}"),
        ("soon", f'"soon" {NOT_A_DURATION}'),
        ("\u0665m", f'"\u0665m" {NOT_A_DURATION}'),
        ("2562048h", '"2562048h" is longer than the longest duration, 2562047h47m16s'),
        ("9" * 5000 + "s", "a duration of 5001 characters is too long to be meant"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  (the whole message is compared)
        parse_duration(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (300, "5m"),
        (90, "1m30s"),
        (5400, "1h30m"),
        (3600, "1h"),
        (3601, "1h1s"),
        (1.5, "1.5s"),
        (0.5, "500ms"),
        (0.0015, "1.5ms"),
        (1e-6, "1us"),
        (1e-9, "1ns"),
        (61.000000001, "1m1.000000001s"),
    ],
)
def test_seconds_are_written_the_shortest_way(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [0, -1, 1e-10, math.nan, math.inf, -math.inf, 1e10])
def test_seconds_that_are_no_duration_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"seconds (is not above zero|cannot be written)"):
        format_duration(seconds)


@given(st.integers(1, LONGEST_NANOSECONDS))
@example(LONGEST_NANOSECONDS)
@example(1)
def test_a_duration_survives_being_written_and_read(nanoseconds: int) -> None:
    seconds = parse_duration(f"{nanoseconds}ns")
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds > 0
