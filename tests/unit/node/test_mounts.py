"""Reading the mount table."""

from pathlib import Path

import pytest

from csi.errors import DiskError, DiskInUse, NotFound, Refused
from node import mounts
from node.mounts import Mount

EXT4 = (
    "36 35 253:7 / /var/lib/kubelet/pods/1/mount rw,noatime shared:1 master:2 "
    "- ext4 /dev/mapper/vg-pgdata rw,errors=remount-ro"
)


def test_a_line_of_the_mount_table() -> None:
    assert mounts.parse(EXT4) == Mount(
        source="/dev/mapper/vg-pgdata",
        target=Path("/var/lib/kubelet/pods/1/mount"),
        root="/",
        fstype="ext4",
        options=frozenset({"rw", "noatime"}),
        super_options=frozenset({"rw", "errors=remount-ro"}),
        device=(253, 7),
    )


def test_a_line_without_optional_fields() -> None:
    mount = mounts.parse("24 27 0:6 /loop3 /srv/device rw,relatime - devtmpfs devtmpfs rw")

    assert (mount.root, mount.fstype, mount.device) == ("/loop3", "devtmpfs", (0, 6))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"/my\040disk", "/my disk"),
        (r"/tab\011and\012line", "/tab\tand\nline"),
        (r"/back\134slash\040", "/back\\slash "),
        (r"/back\134040", r"/back\040"),
        (r"/a\043comment", "/a#comment"),
        ("/umlaut-ü", "/umlaut-ü"),
        ("/-", "/-"),
    ],
)
def test_paths_with_strange_characters(written: str, meant: str) -> None:
    line = f"36 35 98:0 {written} {written} rw - ext4 {written} rw"

    mount = mounts.parse(line)

    assert (mount.root, str(mount.target), mount.source) == (meant, meant, meant)


def test_a_source_may_be_empty() -> None:
    assert mounts.parse("36 35 0:9 / /x rw - tmpfs  rw").source == ""


@pytest.mark.parametrize(
    ("options", "of_filesystem", "failed"),
    [
        ("rw", "rw", False),
        ("rw,noatime", "ro", True),
        ("rw", "rw,emergency_ro", True),
        ("rw", "rw,shutdown", True),
        ("ro", "ro", False),
        ("ro", "rw", False),
    ],
)
def test_a_filesystem_that_went_read_only_by_itself(
    options: str, of_filesystem: str, *, failed: bool
) -> None:
    mount = mounts.parse(f"36 35 253:7 / /x {options} - ext4 /dev/x {of_filesystem}")

    assert mount.has_failed is failed


def test_the_table_of_this_machine() -> None:
    table = mounts.mounts()

    assert any(mount.target == Path("/") for mount in table)
    proc = mounts.at(Path("/proc"))
    assert proc is not None
    assert proc.fstype == "proc"
    assert mounts.at(Path("/proc/self")) is None


def test_the_topmost_mount_counts(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/")

    found = mounts.at(link / "proc")

    assert found is not None
    assert found.target == Path("/proc")


def test_what_is_no_device_is_mounted_nowhere(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        assert mounts.of_device(path) == []
        assert mounts.of_node(path) == []


@pytest.mark.parametrize(
    ("number", "kind", "why"),
    [
        (16, DiskInUse, "it is in use; end the processes"),
        (22, Refused, "no such filesystem, it is damaged, or an option is wrong"),
        (117, Refused, "the filesystem is damaged"),
        (19, Refused, "does not know the filesystem; load its module"),
        (1, Refused, "run it as root"),
        (2, NotFound, "does not exist"),
        (38, Refused, "older than Linux 5.12"),
        (12, DiskError, "Cannot allocate memory"),
    ],
)
def test_error_numbers_are_told_in_words(number: int, kind: type[DiskError], why: str) -> None:
    error = mounts._error(number, "cannot mount ext4 on /dev/x at /y")

    assert isinstance(error, kind)
    assert str(error).startswith("cannot mount ext4 on /dev/x at /y: ")
    assert why in str(error)
