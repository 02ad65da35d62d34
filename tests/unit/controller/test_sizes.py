"""Sizes: any range gets a size within it, or the reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sizes import SizeRange, choose, parse_quantity, round_up
from csi.errors import InvalidRequest, OutOfRange

STEP = 4

NUMBERS = st.integers(0, 60)


@given(required=NUMBERS, limit=NUMBERS, minimum=st.integers(1, 40), default=st.integers(1, 60))
def test_what_a_pool_makes_of_the_choice_is_in_the_range(
    required: int, limit: int, minimum: int, default: int
) -> None:
    wanted = SizeRange(required, limit)
    possible = [size for size in range(STEP, 200, STEP) if wanted.admits(size) and size >= minimum]
    try:
        size = choose(
            wanted, minimum=minimum, default=default, granularity=lambda: STEP, why="it needs"
        )
    except OutOfRange:
        assert not possible
        return
    assert round_up(size, STEP) in possible
    if required:
        assert round_up(size, STEP) == possible[0], "more than asked for"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("20Gi", 20 << 30),
        ("1.5Gi", 3 << 29),
        ("0.5k", 500),
        ("1.0001k", 1001),
        ("100M", 10**8),
        ("8Ei", 8 << 60),
    ],
)
def test_quantities_are_those_of_kubernetes(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1gi", "1 Gi", "+1", "1e3", ".5Gi", "٣Gi", "1" * 101])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no size"):
        parse_quantity(text)
