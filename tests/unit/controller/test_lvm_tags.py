"""What LV tags say can be read back, whatever a user wrote, within LVM's rules."""

import re

from hypothesis import given
from hypothesis import strategies as st

from controller import lvm_tags, names
from csi.disk import FILESYSTEMS, Content, Disk, Snapshot, Source, SourceKind

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).filter(
    lambda text: len(text.encode()) <= 128
)
TAG = re.compile(r"[A-Za-z0-9_+.\-/=!:&#]{1,1024}")  # lvm(8), "Tags"
LV_NAME = re.compile(r"[a-zA-Z0-9_.][a-zA-Z0-9+_.-]{0,61}")  # lvm(8), "Valid names", room for a VG

DISKS = st.builds(
    Disk,
    name=NAMES,
    size=st.integers(1, 1 << 50),
    filesystem=st.sampled_from(FILESYSTEMS),
    content=st.sampled_from(Content),
    created_by=NAMES | st.just(""),
    source=st.none() | st.builds(Source, st.sampled_from(SourceKind), NAMES),
    lease_timeout=st.floats(0.001, 1e9),
    fresh_uuid=st.booleans(),
    scratch_for=NAMES | st.just(""),
)
SNAPSHOTS = st.builds(
    Snapshot,
    name=NAMES,
    disk=NAMES,
    size=st.integers(1, 1 << 50),
    created_ns=st.integers(1, 1 << 62),
    group=NAMES | st.just(""),
    filesystem=st.sampled_from(FILESYSTEMS),
    content=st.sampled_from(Content),
)


def row(tags: list[str], size: int) -> dict[str, str]:
    return {"lv_name": "x", "lv_size": str(size), "lv_tags": ",".join(["foreign", *tags])}


@given(DISKS)
def test_a_disk_survives_its_tags(disk: Disk) -> None:
    tags = lvm_tags.disk_tags(disk)
    assert all(TAG.fullmatch(tag) for tag in tags)
    assert lvm_tags.is_disk(row(tags, disk.size))
    assert lvm_tags.disk_of(row(tags, disk.size)) == disk


@given(SNAPSHOTS)
def test_a_snapshot_survives_its_tags(snapshot: Snapshot) -> None:
    tags = lvm_tags.snapshot_tags(snapshot)
    assert all(TAG.fullmatch(tag) for tag in tags)
    assert lvm_tags.is_snapshot(row(tags, snapshot.size))
    assert not lvm_tags.is_disk(row(tags, snapshot.size))
    assert lvm_tags.snapshot_of(row(tags, snapshot.size)) == snapshot


@given(NAMES, NAMES)
def test_different_names_get_different_lvs(one: str, other: str) -> None:
    assert (names.stem(names.DISK, one) == names.stem(names.DISK, other)) == (one == other)


@given(NAMES)
def test_every_name_gives_a_valid_lv_name(name: str) -> None:
    assert LV_NAME.fullmatch(names.stem(names.DISK, name))
    assert names.is_stem(names.stem(names.SNAPSHOT, name))


def test_names_that_differ_in_case_only_do_not_meet() -> None:
    assert names.stem(names.DISK, "PgData") != names.stem(names.DISK, "pgdata")


def test_foreign_lvs_are_not_ours() -> None:
    assert not lvm_tags.is_disk(row([], 1))
    assert not lvm_tags.is_disk(row(["someone.disk=pgdata"], 1))


@given(st.sampled_from(Content), st.none() | st.sampled_from(FILESYSTEMS), DISKS)
def test_a_change_of_content_leaves_one_truth(
    content: Content, filesystem: str | None, disk: Disk
) -> None:
    words = lvm_tags.content_change(content, filesystem, FILESYSTEMS)
    changes = list(zip(words[::2], words[1::2], strict=True))
    tags = lvm_tags.disk_tags(disk)
    for word, tag in changes:
        if word == "--deltag" and tag in tags:
            tags.remove(tag)
        elif word == "--addtag" and tag not in tags:
            tags.append(tag)
    changed = lvm_tags.disk_of(row(tags, disk.size))
    assert changed.content is content
    assert changed.filesystem == (filesystem or disk.filesystem)
    assert not changed.fresh_uuid
    assert sum(tag.startswith("miren.content=") for tag in tags) == 1
