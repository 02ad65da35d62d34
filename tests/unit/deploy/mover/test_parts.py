"""Which parts of a device a backup has to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi.disk import MIB, Extent
from csi.errors import InvalidRequest
from deploy.mover import parts
from deploy.mover.parts import PART, Changes, ranges, within

extents = st.lists(
    st.builds(Extent, st.integers(0, 200 * PART), st.integers(1, 3 * PART)), max_size=40
)


@given(extents, st.integers(1, 10))
def test_no_byte_is_missed_however_few_ranges_there_may_be(found: list[Extent], most: int) -> None:
    made = ranges(found, most)

    assert len(made) <= most
    assert all(first < end for first, end in made)
    assert [*made] == sorted(made)
    read = {*within(made, 300 * PART)}
    for one in found:
        assert {one.offset // PART, (one.offset + one.length - 1) // PART} <= read


@given(extents)
def test_nothing_is_read_in_vain_where_there_may_be_enough_ranges(found: list[Extent]) -> None:
    exact = {
        part
        for one in found
        for part in range(one.offset // PART, (one.offset + one.length - 1) // PART + 1)
    }

    assert [*within(ranges(found), 300 * PART)] == sorted(exact)


def test_the_smallest_gaps_are_closed_first() -> None:
    found = [Extent(part * PART, 1) for part in (0, 10, 12, 30)]

    assert ranges(found, 3) == [(0, 1), (10, 13), (30, 31)]


def test_a_device_has_no_parts_after_its_end() -> None:
    assert [*within([(0, 9)], 2 * PART + MIB)] == [0, 1, 2]


def test_what_is_told_comes_through() -> None:
    changes = Changes("mine", [(0, 2)], {"earlier": [(1, 2)]})

    assert parts.parse(changes.to_json()) == changes


@pytest.mark.parametrize("text", ["", "{}", '{"copy": 1}', "[1"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="what is said of changes cannot be understood"):
        parts.parse(text)
