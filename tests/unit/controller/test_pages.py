"""Pages: nothing twice, nothing lost, whatever comes and goes in between."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.pages import page
from csi.errors import BadToken

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=32)
LONG = st.builds(lambda tail: "x" * 100 + tail, NAMES.filter(lambda name: len(name.encode()) <= 28))
LISTS = st.sets(NAMES | LONG | st.sampled_from(["a", "a-b", "a.b", "ab"]), max_size=12)


def paged(names: set[str], token: str = "", limit: int = 0) -> tuple[list[str], str]:
    found = page("disk", names, str, token=token, limit=limit)
    return list(found.entries), found.next_token


@given(names=LISTS, limit=st.integers(1, 5))
def test_pages_together_are_the_whole_list_in_its_order(names: set[str], limit: int) -> None:
    whole, nothing = paged(names)
    assert nothing == ""
    assert set(whole) == names

    collected, token = paged(names, limit=limit)
    while token:
        assert len(token.encode()) <= 128, "CSI's limit for strings"
        some, token = paged(names, token, limit)
        assert 0 < len(some) <= limit
        collected += some

    assert collected == whole


@given(names=LISTS, gone=LISTS, new=LISTS, limit=st.integers(1, 5))
@example(names={"a", "b", "c"}, gone={"a"}, new=set(), limit=1)
@example(names={"x" * 100 + end for end in "abc"}, gone=set(), new={"x" * 100}, limit=1)
def test_what_stays_is_seen_once_while_others_come_and_go(
    names: set[str], gone: set[str], new: set[str], limit: int
) -> None:
    first, token = paged(names, limit=limit)
    later = (names - gone) | new
    rest = paged(later, token)[0] if token else []

    assert not set(first) & set(rest) & names
    assert (names - gone) <= set(first) | set(rest)


@given(st.text(max_size=60))
@example("invalid-token")
@example("ZGlzaw==")
@example("ZGlzawA=")
def test_a_token_that_no_list_gave_is_refused(text: str) -> None:
    if not text:
        return
    with pytest.raises(BadToken, match="begin anew"):
        paged({"a", "b"}, text)


def test_a_token_of_another_list_is_refused() -> None:
    token = page("snapshot", ["a", "b"], str, token="", limit=1).next_token

    with pytest.raises(BadToken, match="is not from a list of disks"):
        paged({"a", "b"}, token)
    assert page("snapshot", ["a", "b"], str, token=token, limit=1).entries == ("b",)


def test_short_names_are_in_alphabetical_order() -> None:
    assert paged({"db-2", "db", "a", "db-10"})[0] == ["a", "db", "db-10", "db-2"]
