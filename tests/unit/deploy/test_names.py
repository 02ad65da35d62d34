"""Names in Kubernetes: valid, readable, and never the same for two disks."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi.local_id import LocalId
from deploy import object_name

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def digits(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]


@pytest.mark.parametrize(
    "name", ["data", "a", "0", "my-data-2", "a" * 63, "data-1234567", "data-123456789"]
)
def test_a_name_that_kubernetes_allows_is_kept(name: str) -> None:
    assert object_name(name) == name


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("Data", "data"),
        ("My-Data", "my-data"),
        ("local/shop/data", "local-shop-data"),
        ("a" * 64, "a" * 54),
        ("a" * 53 + "-" + "b" * 20, "a" * 53),
        ("data-0123abcd", "data-0123abcd"),
        ("-", "disk"),
        ("", "disk"),
        ("\u00fc", "disk"),
        # Leases by which sidecars elect a leader are called so.
        ("disk-csi-miren-dev", "disk-csi-miren-dev"),
        ("external-resizer-disk-csi-miren-dev", "external-resizer-disk-csi-miren-dev"),
    ],
)
def test_another_name_gets_a_readable_part_and_a_hash(name: str, readable: str) -> None:
    assert object_name(name) == f"{readable}-{digits(name)}"


MIREN_NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,126}[A-Za-z0-9])?", fullmatch=True)
# Names that are easily confused: other case, other length, or like what another is hashed to.
CONFUSABLE = st.sampled_from(["data", "a" * 63, "local-a-b"]).flatmap(
    lambda name: st.sampled_from(
        [name, name.upper(), name.title(), name + "-", object_name(name.upper()), name * 2]
    )
)
HANDLES = MIREN_NAMES | CONFUSABLE | st.builds(LocalId, MIREN_NAMES, MIREN_NAMES).map(str)


@given(HANDLES, HANDLES)
def test_two_disks_never_share_a_name(one: str, other: str) -> None:
    assert (object_name(one) == object_name(other)) == (one == other)


@given(st.text() | HANDLES)
def test_every_name_becomes_a_valid_one(name: str) -> None:
    assert len(object_name(name)) <= 63
    assert DNS_LABEL.fullmatch(object_name(name))


@given(MIREN_NAMES)
def test_the_name_of_a_hashed_name_is_another(name: str) -> None:
    hashed = object_name(name.upper() + "X")
    assert object_name(hashed) != hashed
