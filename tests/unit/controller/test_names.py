"""Names of LVs and files: always valid, never the same for two disks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.names import DISK, SNAPSHOT, is_stem, stem

KINDS = st.sampled_from([DISK, SNAPSHOT])
NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=128)


@given(kind=KINDS, name=NAMES)
def test_any_name_makes_a_valid_one(kind: str, name: str) -> None:
    made = stem(kind, name)

    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", made)
    assert len(made) <= 64
    assert is_stem(made)


@given(one=st.tuples(KINDS, NAMES), other=st.tuples(KINDS, NAMES))
def test_different_names_stay_different(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (stem(*one) == stem(*other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("pgdata", "disk-pgdata-"),
        ("PGDATA", "disk-pgdata-"),
        ("shop/db data", "disk-shop-db-data-"),
        ("../etc", "disk-etc-"),
        ("x" * 128, f"disk-{'x' * 40}-"),
        ("x" * 39 + "/y", f"disk-{'x' * 39}-"),
        ("🐘", "disk-"),
    ],
)
def test_a_person_recognises_the_name(name: str, begin: str) -> None:
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{16}", stem(DISK, name))


def test_disks_and_snapshots_of_one_name_differ() -> None:
    assert stem(DISK, "pgdata") != stem(SNAPSHOT, "pgdata")


@pytest.mark.parametrize(
    "text",
    ["", "foreign", "disk", "disk-", "disk-pgdata", "disk-pgdata-0123", "lv-0123456789abcdef"],
)
def test_other_names_are_told_apart(text: str) -> None:
    assert not is_stem(text)
