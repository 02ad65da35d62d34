"""What an image says about itself comes back as it was, and nothing else is believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.image_facts import decode_disk, decode_snapshot, encode
from csi.disk import FILESYSTEMS, MIB, Content, Disk, Snapshot, Source, SourceKind

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=128)
SOURCES = st.builds(Source, st.sampled_from(SourceKind), NAMES)
DISKS = st.builds(
    Disk,
    name=NAMES,
    size=st.just(4 * MIB),
    filesystem=st.sampled_from(FILESYSTEMS),
    content=st.sampled_from(Content),
    created_by=NAMES,
    source=st.none() | SOURCES,
    lease_timeout=st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    read_ahead_kib=st.none() | st.integers(min_value=0),
    fresh_uuid=st.booleans(),
    scratch_for=NAMES | st.just(""),
)
SNAPSHOTS = st.builds(
    Snapshot,
    name=NAMES,
    disk=NAMES,
    size=st.just(4 * MIB),
    created_ns=st.integers(min_value=0),
    group=NAMES,
    filesystem=st.sampled_from(FILESYSTEMS),
    content=st.sampled_from(Content),
)


@given(DISKS)
def test_a_disk_comes_back_as_it_was(disk: Disk) -> None:
    assert decode_disk(encode(disk), disk.size) == disk


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was(snapshot: Snapshot) -> None:
    assert decode_snapshot(encode(snapshot), snapshot.size) == snapshot


def test_the_size_is_the_files() -> None:
    disk = decode_disk(encode(Disk("pgdata", 4 * MIB)), 8 * MIB)

    assert disk == Disk("pgdata", 8 * MIB)


def test_a_disk_is_no_snapshot_and_a_snapshot_no_disk() -> None:
    assert decode_snapshot(encode(Disk("pgdata", MIB)), MIB) is None
    assert decode_disk(encode(Snapshot("nightly", "pgdata", MIB, 0)), MIB) is None


@given(DISKS, st.data())
def test_of_damaged_facts_nothing_is_believed(disk: Disk, data: st.DataObject) -> None:
    facts = json.loads(encode(disk))
    key = data.draw(st.sampled_from(["kind", "name", "content", "source"]))
    del facts[key]

    assert decode_disk(json.dumps(facts).encode(), MIB) is None


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"x" * 100,
        b"[" * 60_000,
        b'{"kind":"disk","name":1}',
    ],
)
def test_what_is_not_json_of_ours_is_not_believed(damaged: bytes) -> None:
    assert decode_disk(damaged, MIB) is None
    assert decode_snapshot(damaged, MIB) is None


@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(garbage: bytes) -> None:
    assert decode_disk(garbage, MIB) is None
    assert decode_snapshot(garbage, MIB) is None
