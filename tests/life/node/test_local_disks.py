"""Local disks: one directory for all containers of an app."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from csi.errors import Incompatible, InvalidRequest, NotFound, Refused
from node import mounts
from node.local_disks import LocalDisks
from tests.life.host import Host
from tests.life.node.conftest import WRITER

pytestmark = pytest.mark.loop_only

UPLOADS = "local/shop/uploads"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of local disks; nobody has made it yet."""
    return tmp_path / "var" / "local"


@pytest.fixture
def local(root: Path, host: Host) -> LocalDisks:  # noqa: ARG001 - clears up afterwards
    return LocalDisks(root)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The target path of another pod."""
    path = tmp_path / "other pod" / "mount"
    path.parent.mkdir()
    return path


def test_all_targets_see_the_same_files(
    local: LocalDisks, target: Path, other: Path, host: Host
) -> None:
    # Even in a mode that is exclusive for a disk of the pool.
    local.publish(UPLOADS, target, WRITER, read_only=False)
    local.publish(UPLOADS, other, WRITER, read_only=False)

    (target / "cat").write_text("purr")

    assert (other / "cat").read_text() == "purr"
    local.unpublish(UPLOADS, target)
    assert not target.exists()
    assert (other / "cat").read_text() == "purr"
    local.unpublish(UPLOADS, other)
    assert host.mounts() == []


def test_apps_do_not_see_each_others_files(local: LocalDisks, target: Path, other: Path) -> None:
    local.publish(UPLOADS, target, WRITER, read_only=False)
    (target / "cat").write_text("purr")

    local.publish("local/blog/uploads", other, WRITER, read_only=False)

    assert list(other.iterdir()) == []


def test_a_container_of_any_user_may_write_but_nobody_on_the_host(
    local: LocalDisks, root: Path, target: Path
) -> None:
    local.publish(UPLOADS, target, WRITER, read_only=False)

    assert stat.S_IMODE(target.stat().st_mode) == 0o777
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_the_mode_does_not_depend_on_the_umask(local: LocalDisks, target: Path) -> None:
    before = os.umask(0o077)
    try:
        local.publish(UPLOADS, target, WRITER, read_only=False)
    finally:
        os.umask(before)

    assert stat.S_IMODE(target.stat().st_mode) == 0o777


def test_a_kill_while_the_directory_is_made_is_healed(
    local: LocalDisks, root: Path, target: Path
) -> None:
    (root / "shop" / ".uploads").mkdir(parents=True)

    local.publish(UPLOADS, target, WRITER, read_only=False)

    assert stat.S_IMODE(target.stat().st_mode) == 0o777
    assert [path.name for path in (root / "shop").iterdir()] == ["uploads"]


def test_publishing_again_changes_nothing_and_otherwise_is_refused(
    local: LocalDisks, target: Path, host: Host
) -> None:
    local.publish(UPLOADS, target, WRITER, read_only=True)
    local.publish(UPLOADS, target, WRITER, read_only=True)

    assert host.mounts() == [target]
    with pytest.raises(OSError, match="Read-only"):
        (target / "cat").write_text("purr")
    with pytest.raises(Incompatible, match=r"already published at .* but read-only"):
        local.publish(UPLOADS, target, WRITER, read_only=False)
    with pytest.raises(Incompatible, match=f"{target} is taken"):
        local.publish("local/blog/uploads", target, WRITER, read_only=True)


def test_a_group_owns_the_files(local: LocalDisks, target: Path) -> None:
    local.publish(UPLOADS, target, replace(WRITER, group=70), read_only=False)

    assert target.stat().st_gid == 70
    assert stat.S_IMODE(target.stat().st_mode) == 0o2777


@pytest.mark.parametrize("link", ["shop", "shop/uploads"])
def test_a_link_in_the_way_leads_nowhere(
    local: LocalDisks, root: Path, target: Path, tmp_path: Path, link: str
) -> None:
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(tmp_path)

    with pytest.raises(Refused, match=f"{root / link} is not a folder but in the way"):
        local.publish(UPLOADS, target, WRITER, read_only=False)

    with pytest.raises(NotFound):
        local.find(UPLOADS)


@pytest.mark.parametrize("volume_id", ["local/../etc", "local/shop", "local/shop/a/b", "local/a/."])
def test_ids_that_are_none(local: LocalDisks, target: Path, volume_id: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the id of a local disk"):
        local.publish(volume_id, target, WRITER, read_only=False)


def test_flags_that_a_folder_cannot_have_are_refused(local: LocalDisks, target: Path) -> None:
    asked = replace(WRITER, flags=("rw", "noexec", "commit=5"))

    with pytest.raises(InvalidRequest, match="leave out commit, noexec"):
        local.publish(UPLOADS, target, asked, read_only=False)

    assert not target.exists()


def test_unpublishing_leaves_alone_what_is_not_this_disk(
    local: LocalDisks, target: Path, tmp_path: Path
) -> None:
    target.mkdir()
    mounts.bind(tmp_path, target)

    with pytest.raises(Refused, match=f'not local disk "{UPLOADS}"; it is left alone'):
        local.unpublish(UPLOADS, target)

    assert mounts.at(target) is not None


def test_unpublishing_twice_is_fine(local: LocalDisks, target: Path) -> None:
    local.publish(UPLOADS, target, WRITER, read_only=False)

    local.unpublish(UPLOADS, target)
    local.unpublish(UPLOADS, target)

    assert local.find(UPLOADS).is_dir()
